/* SPDX-License-Identifier: MIT */
/*
 * patch/entry.h – writing and restoring the first bytes of functions.  (DESIGN 2.1)
 *
 *	pun	one byte; no stop, no ordering
 *	int3	the first instruction has five bytes or more: while a uprobe holds an int3 at its
 *		head, the four bytes behind it are written, then the head
 *	stop	all threads are stopped, none may stand in (F, F+5), five bytes are written
 */
#ifndef HP_PATCH_ENTRY_H
#define HP_PATCH_ENTRY_H

#include "patch/live.h"

/* Every entry becomes a jump (@patched), or what it was where no other patch is on the function
 * (hp_chain_unlink() has told).  The bytes are verified immediately before:
 * -HP_E_ENTRY when somebody else has changed them.  An entry that is as wanted already is left. */
int hp_entry_write_all(struct hp_live *lv, bool patched, struct hp_err *err);

#endif
