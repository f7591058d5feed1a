/* SPDX-License-Identifier: MIT */
/*
 * patch/drain.h – the draining table: stack ranges of threads that still hold an old frame, whose
 * nested calls must not park, or they would never leave.  (DESIGN 2.2)
 *
 * An entry is used once in the life of a patch: a thread may stand in a gate path with the table
 * half read long after the transition, so nothing that was closed is opened again.
 */
#ifndef HP_PATCH_DRAIN_H
#define HP_PATCH_DRAIN_H

#include "patch/live.h"

/* Lets calls below @outermost_sp (the entry's rsp of the outermost old frame) on the same stack
 * pass.  The entry's index, or -ENOSPC when the table is used up. */
int hp_drain_open(struct hp_live *lv, hp_addr outermost_sp);

/* Such calls park from now on. */
int hp_drain_close(struct hp_live *lv, int entry, struct hp_err *err);

/* Closes whatever is open: after a transition, or what a killed hpd left. */
int hp_drain_close_all(struct hp_live *lv, struct hp_err *err);

#endif
