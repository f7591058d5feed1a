/* SPDX-License-Identifier: MIT */
/* patch/ledger_fill.h – what the ledger of a planned patch says. */
#ifndef HP_PATCH_LEDGER_FILL_H
#define HP_PATCH_LEDGER_FILL_H

#include "patch/own_object.h"
#include "patch/plan.h"

/* Fills @l, which is all zeroes, from the plan and the code that hp makes for it: complete, sealed,
 * in phase "mapped".  -HP_E_PLACE: more functions or mappings than a ledger has room for. */
int hp_ledger_fill(struct hp_ledger *l, const struct hp_plan *p, const struct hp_own_object *object,
		   struct hp_err *err);

#endif
