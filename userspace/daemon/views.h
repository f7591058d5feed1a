/* SPDX-License-Identifier: MIT */
/*
 * daemon/views.h – which subjects have a view, the pinned maps of their counts: those that were worked
 * on last.  What the next view takes is made while nobody wants anything.
 */
#ifndef HP_DAEMON_VIEWS_H
#define HP_DAEMON_VIEWS_H

struct hp_daemon;
struct hp_err;
struct hp_subject;

/* When there is none; to be asked for only where there is BPF. */
int hp_subject_open_view(struct hp_subject *s, struct hp_err *err);
/* If there is one. */
void hp_subject_close_view(struct hp_subject *s);

/* Somebody wants something. */
void hp_views_postpone(struct hp_daemon *d);

#endif
