/* SPDX-License-Identifier: MIT */
/*
 * patch/depend.h – what the metadata of a patch says of other patches, each by its hp_id or the
 * first 8 or more digits of it:
 *
 *	requires	it must be active, from before the load until this patch is unloaded
 *	supersedes	it is unloaded when this patch is in force
 */
#ifndef HP_PATCH_DEPEND_H
#define HP_PATCH_DEPEND_H

#include "elf/patchinfo.h"
#include "patch/ledger.h"

/* May a patch with @meta be loaded beside @there?  -HP_E_DEPENDS by name: what it requires is not
 * active; what it supersedes is required, by a patch that stays or by itself; -HP_E_NOT_PATCH: what
 * it names is no hp_id; more than HP_SUPERSEDES_MAX are to go. */
int hp_depend_check_load(const struct hp_pairs *meta, const struct hp_ledgers *there,
			 struct hp_err *err);

/* May @l be unloaded?  -HP_E_DEPENDS names an active patch that requires it. */
int hp_depend_check_unload(const struct hp_ledger *l, const struct hp_ledgers *there,
			   struct hp_err *err);

/* Is @l active, and superseded by a patch with @meta? */
bool hp_depend_supersedes(const struct hp_pairs *meta, const struct hp_ledger *l);

#endif
