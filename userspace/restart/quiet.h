/* SPDX-License-Identifier: MIT */
/*
 * restart/quiet.h – a moment in which no thread of a program is in the middle of something.
 *
 * Who has received a datagram answers by the same socket, so that may be taken away only while
 * nobody has one in hand: every thread waits in a call that begins a piece of work, and those that
 * could come out of it are stopped there.
 */
#ifndef HP_RESTART_QUIET_H
#define HP_RESTART_QUIET_H

#include <stdint.h>
#include <sys/types.h>

#include "target/target.h"
#include "target/threads.h"

struct hp_err;

struct hp_quiet {
	const struct hp_target *t;
	struct hp_pids stopped;
};

/* @q->t is set.  Waits for such a moment until @deadline_ns.  From then on the threads are stopped. */
int hp_quiet_begin(struct hp_quiet *q, uint64_t deadline_ns, struct hp_err *err);
/* They begin their calls anew. */
void hp_quiet_end(struct hp_quiet *q);

#endif
