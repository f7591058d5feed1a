/* SPDX-License-Identifier: MIT */
/*
 * patch/guard.h – is a patched entry still the jump that was written?  (DESIGN 2.7)
 *
 * Another tool's uprobe puts an int3 there, which runs the first instruction of the *file* and goes on
 * in the old code; and takes it away by writing the file's byte.  So does a split of the mapping while
 * a uprobe is registered.  A dropped page (MADV_DONTNEED) is the file's again.
 */
#ifndef HP_PATCH_GUARD_H
#define HP_PATCH_GUARD_H

#include "patch/ledger.h"
#include "patch/ops.h"

enum hp_guard_found hp_guard_look(const struct hp_target *t, const struct hp_ledger_fn *f);

/* Adds @pid, with its entries that are not right, to @g, unless it cannot be looked at.  @ops: mends them;
 * NULL: it is one of many.  -ENOMEM; HP_E_PARTIAL. */
int hp_guard_process(struct hp_ops *ops, pid_t pid, struct hp_guard *g, struct hp_err *err);

#endif
