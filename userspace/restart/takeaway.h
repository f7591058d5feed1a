/* SPDX-License-Identifier: MIT */
/* restart/takeaway.h – taking the listeners out of a program that does not know how to drain. */
#ifndef HP_RESTART_TAKEAWAY_H
#define HP_RESTART_TAKEAWAY_H

#include <stdint.h>

#include "service/inventory.h"
#include "service/procs.h"

struct hp_err;

/* In each of @procs, held by @pidfds, every descriptor of one of @l becomes a socket on which nobody ever
 * calls, and no epoll waits for the listener any more.  Connections that were accepted are not touched.
 * To be called again after a failure: what was done stays done.  It returns within some seconds of
 * @deadline_ns, whatever those processes do. */
int hp_take_away(const struct hp_procs *procs, const int *pidfds, const struct hp_listeners *l,
		 uint64_t deadline_ns, struct hp_err *err);

/* What would make that impossible is refused here, before anything is done: io_uring. */
int hp_take_away_check(const struct hp_procs *procs, struct hp_err *err);

#endif
