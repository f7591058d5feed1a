/* SPDX-License-Identifier: MIT */
/* patch/unstage.h – taking a patch out of the target's memory: what patch/stage.h put there. */
#ifndef HP_PATCH_UNSTAGE_H
#define HP_PATCH_UNSTAGE_H

#include "patch/ledger.h"
#include "target/agent.h"

/* Unmaps all that maps say is this patch's, but for stubs and doors that others of @all need, the
 * ledger last.  Nothing may lead there any more. */
int hp_unstage(const struct hp_ledger *l, const struct hp_ledgers *all, struct hp_target *t,
	       struct hp_agent *a, struct hp_err *err);

#endif
