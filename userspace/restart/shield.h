/* SPDX-License-Identifier: MIT */
/*
 * restart/shield.h – keeps the paths of unix sockets from being removed by the old generation, when
 * it ends.
 *
 * Each path is made a mount point, of itself: whoever removes or replaces it is told that it is
 * busy, while clients connect through it as before.  A path that was removed and then restored would
 * be missing for a moment.
 */
#ifndef HP_RESTART_SHIELD_H
#define HP_RESTART_SHIELD_H

#include "service/inventory.h"

struct hp_err;

/* In the mount namespace of process @pid.  All or none. */
int hp_shield_raise(const struct hp_listeners *l, pid_t pid, struct hp_err *err);

/* @pid: a process in the same namespace.  What is not shielded any more is left alone. */
void hp_shield_lower(const struct hp_listeners *l, pid_t pid);

#endif
