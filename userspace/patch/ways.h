/* SPDX-License-Identifier: MIT */
/*
 * patch/ways.h – the two ways of a transition, for transition.c only.  Both leave the slots at rest
 * on the side that runs, and close the draining table.
 */
#ifndef HP_PATCH_WAYS_H
#define HP_PATCH_WAYS_H

#include "patch/census.h"

/* Gate and look alone: every new call parks at once, every thread is looked at.  The gate is closed
 * at most @attempts times. */
int hp_way_gate(struct hp_census *c, enum hp_side from, unsigned attempts, struct hp_err *err);

/* Probes count the calls first; the gate closes at a moment when none, or few, are in flight. */
int hp_way_watch(struct hp_census *c, enum hp_side from, struct hp_err *err);

/* After a commit: both slots to the side that runs; the table closed. */
int hp_way_settle(struct hp_live *lv, enum hp_side side, struct hp_err *err);

/* The phase that makes the gate byte count for a recovery. */
int hp_way_announce(struct hp_live *lv, enum hp_side from, struct hp_err *err);

#endif
