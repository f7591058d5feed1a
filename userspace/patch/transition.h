/* SPDX-License-Identifier: MIT */
/*
 * patch/transition.h – moving all functions of a patch from one side to the other at one instant,
 * proven to have no call of the old side in flight.  (DESIGN 2.3-2.5)
 */
#ifndef HP_PATCH_TRANSITION_H
#define HP_PATCH_TRANSITION_H

#include "patch/live.h"

/* HP_QUIESCE_AUTO: a call that has been asleep in the set for so long is a long one.  With long calls
 * in flight the moment when there are none is watched for; else the gate is closed at once, which
 * for calls of up to a millisecond costs the callers less than a probe at any rate (the sweep of
 * `make bench`, docs/ARCHITECTURE.md), and the watch is what comes when that was not enough. */
#define HP_LONG_CALL_NS 1000000ull

/* From @from to the other side.  0: the other side runs and the slots are at rest.
 * -HP_E_NOT_QUIESCENT: names thread and frame; @from runs and the slots are at rest. */
int hp_transition(struct hp_live *lv, enum hp_side from, enum hp_quiesce how, struct hp_err *err);

/* The same without any proof: calls in flight finish on @from's code.  *inside: how many threads
 * hold such calls at the flip. */
int hp_transition_relaxed(struct hp_live *lv, enum hp_side from, unsigned *inside,
			  struct hp_err *err);

/* How many threads are inside @side's code now; those of which nothing can be told count.  @who
 * (may be NULL) receives the sentence on the first of them. */
int hp_transition_count(struct hp_live *lv, enum hp_side side, unsigned *inside,
			struct hp_err *who, struct hp_err *err);

#endif
