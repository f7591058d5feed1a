/* SPDX-License-Identifier: MIT */
/* daemon/status.h – what hpd is doing. */
#ifndef HP_DAEMON_STATUS_H
#define HP_DAEMON_STATUS_H

#include <jansson.h>
#include <sys/queue.h>
#include <sys/types.h>

struct hp_client;
struct hp_daemon;
struct hp_subject;

/* The name of its command; "" when it has gone. */
void hp_subject_comm(const struct hp_subject *s, char *buf, size_t n);

/* What an event says of its patches. */
json_t *hp_subject_event(const struct hp_subject *s);

/* Of all targets, or with @pid of that one. */
json_t *hp_status(const struct hp_daemon *d, pid_t pid);

/* Tells it to @c when the guard has looked. */
TAILQ_HEAD(hp_status_waits, hp_status_wait);
void hp_status_ask(struct hp_client *c, pid_t pid);
/* At the end. */
void hp_status_end(struct hp_daemon *d);

#endif
