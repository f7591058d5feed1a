/* SPDX-License-Identifier: MIT */
/*
 * patch/remove.h – taking a patch whose functions run old code out of the target.
 */
#ifndef HP_PATCH_REMOVE_H
#define HP_PATCH_REMOVE_H

#include "patch/live.h"

/* Takes the patch out of its chains, restores the entries where it was alone, waits until every
 * thread is outside stubs, paths and patch, and unmaps everything, the ledger last.  *retained:
 * pointers into the patch are left (@detail says where): the entries are restored but the memory
 * stays, in phase RETAINED; @discard unmaps anyway. */
int hp_remove(struct hp_live *lv, bool discard, bool *retained, char *detail, size_t n,
	      struct hp_err *err);

#endif
