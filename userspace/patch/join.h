/* SPDX-License-Identifier: MIT */
/* patch/join.h – a plan beside the patches that are in the target already. */
#ifndef HP_PATCH_JOIN_H
#define HP_PATCH_JOIN_H

#include "patch/plan.h"

/* Finds which functions have a patch already, and the topmost one on each.  -HP_E_ENTRY: one that
 * is half-done, or somebody else's bytes. */
int hp_plan_join(struct hp_plan *p, const struct hp_ledgers *there, struct hp_err *err);

#endif
