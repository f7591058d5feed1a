/* SPDX-License-Identifier: MIT */
/*
 * patch/calls.h – running code that may call libc: hooks, initialisers, finalisers, and giving
 * unwind tables to the target's libgcc.  On a borrowed application thread at a safe point.
 */
#ifndef HP_PATCH_CALLS_H
#define HP_PATCH_CALLS_H

#include "patch/live.h"
#include "patch/plan.h"

/* Unwind tables, then init_array in its order. */
int hp_calls_init(struct hp_live *lv, const struct hp_plan *p, struct hp_err *err);

/* fini_array (@initialised: init_array ran to its end), then the unwind tables, if they were given. */
int hp_calls_fini(struct hp_live *lv, bool initialised, struct hp_err *err);

/* -HP_E_HOOK when it returned something else than 0, crashed, or did not come back.  0 when the
 * patch has no such hook. */
int hp_calls_hook(struct hp_live *lv, enum hp_hook hook, struct hp_err *err);

#endif
