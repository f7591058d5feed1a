/* SPDX-License-Identifier: MIT */
/* patch/unload.h – taking one patch out, as a part of whatever operation. */
#ifndef HP_PATCH_UNLOAD_H
#define HP_PATCH_UNLOAD_H

#include "patch/work.h"

/* From the phase that @l is in, with the agent started.  When nothing is retained @l is dropped from
 * w->ledgers, and freed. */
int hp_unload_one(struct hp_work *w, struct hp_ledger *l, const struct hp_unload_request *req,
		  bool hooks, struct hp_unload_result *ret, struct hp_err *err);

#endif
