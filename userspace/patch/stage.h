/* SPDX-License-Identifier: MIT */
/*
 * patch/stage.h – bringing a planned patch into the target's memory.  No byte of the program is
 * changed; nothing leads to what is mapped here yet.
 */
#ifndef HP_PATCH_STAGE_H
#define HP_PATCH_STAGE_H

#include "patch/plan.h"
#include "target/agent.h"

/* Maps area, banks, stubs and the patch; relocates; fills slots (all old) and references.
 * @there: the other patches; @store_fd: the patch's file in the store.  On an error everything is
 * unmapped again.  *ret is freed with free(). */
int hp_stage(struct hp_ledger **ret, const struct hp_plan *p, const struct hp_ledgers *there,
	     struct hp_agent *a, int store_fd, int template_fd, struct hp_err *err);

#endif
