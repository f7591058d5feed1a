/* SPDX-License-Identifier: MIT */
/*
 * patch/drain.h – the draining table: stack ranges of threads that still hold an old frame, whose
 * nested calls must not park, or they would never leave.  (DESIGN 2.2)
 *
 * Nothing that was closed is opened again: a thread may stand in a gate path with the table half read
 * long after the transition.
 */
#ifndef HP_PATCH_DRAIN_H
#define HP_PATCH_DRAIN_H

#include "patch/census.h"

/* Lets calls of thread @tid below @outermost_sp (the entry's rsp of its outermost old frame) pass.
 * The entry's index, or -ENOSPC when the table is used up, or when another thread's stack lies in
 * the same mapping below: the entry would let that one through as well. */
int hp_drain_open(struct hp_census *c, pid_t tid, hp_addr outermost_sp);

/* Such calls park from now on. */
int hp_drain_close(struct hp_live *lv, int entry, struct hp_err *err);

/* Closes whatever is open: after a transition, or what a killed hpd left. */
int hp_drain_close_all(struct hp_live *lv, struct hp_err *err);

/* Empties a table that is half used, if every thread is seen outside of the gate paths.  Only with
 * the slots at rest. */
int hp_drain_renew(struct hp_census *c, struct hp_err *err);

#endif
