/* SPDX-License-Identifier: MIT */
/* daemon/status.h – what hpd is doing. */
#ifndef HP_DAEMON_STATUS_H
#define HP_DAEMON_STATUS_H

#include <jansson.h>
#include <sys/types.h>

struct hp_daemon;
struct hp_subject;

/* The name of its command; "" when it has gone. */
void hp_subject_comm(const struct hp_subject *s, char *buf, size_t n);

/* What an event says of its patches. */
json_t *hp_subject_event(const struct hp_subject *s);

/* Of all targets, or with @pid of that one. */
json_t *hp_status(const struct hp_daemon *d, pid_t pid);

#endif
