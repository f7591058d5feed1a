/* SPDX-License-Identifier: MIT */
/* cli/start.h – a private hpd, started by the first hpctl that needs one. */
#ifndef HP_CLI_START_H
#define HP_CLI_START_H

#include <stdbool.h>

struct hp_err;
struct hp_start;

/* Waits until no other hpctl is starting one for @socket: two at once must not end with two. */
int hp_start_begin(struct hp_start **ret, const char *socket, struct hp_err *err);
void hp_start_end(struct hp_start *s);

/* Returns when it serves.  With @talk its log goes to our stderr. */
int hp_start_hpd(struct hp_start *s, bool talk, struct hp_err *err);

#endif
