/* SPDX-License-Identifier: MIT */
/*
 * patch/transition.h – moving all functions of a patch from one side to the other at one instant,
 * proven to have no call of the old side in flight.  (DESIGN 2.3-2.5)
 */
#ifndef HP_PATCH_TRANSITION_H
#define HP_PATCH_TRANSITION_H

#include "patch/live.h"

/* Below so many calls a second a set that is in flight is watched, above it is gated at once: a
 * probe costs each call 1-20 µs, a closed gate each thread a part of a millisecond once.
 * docs/ARCHITECTURE.md has the figures of `make bench`. */
#define HP_WATCH_MAX_RATE 20000

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
