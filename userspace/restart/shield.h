/* SPDX-License-Identifier: MIT */
/*
 * restart/shield.h – keeps the paths of unix sockets from being removed by the old generation, when
 * it ends.
 *
 * Each path is made a mount point, of itself: whoever removes or replaces it is told that it is
 * busy, while clients connect through it as before.  A path that was removed and then restored would
 * be missing for a moment.
 *
 * Paths lie in directories of the service's, who may put another thing there at any time.  So mounted
 * is only on the file that the listener is bound to (inventory.h), and unmounted only what was mounted
 * here, by the mount's own number.
 */
#ifndef HP_RESTART_SHIELD_H
#define HP_RESTART_SHIELD_H

#include "service/inventory.h"

struct hp_err;

/* In the mount namespace of process @pid.  All or none.  @known is told when each has its number,
 * and there is none of them yet; where there is none to be made it is not. */
int hp_shield_raise(struct hp_listeners *l, pid_t pid, void (*known)(void *arg), void *arg,
		    struct hp_err *err);

/* @pid: a process in the same namespace; when it is gone, ours may be that.  What is not shielded any
 * more is left alone. */
void hp_shield_lower(const struct hp_listeners *l, pid_t pid);

#endif
