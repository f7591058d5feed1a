/* SPDX-License-Identifier: MIT */
/*
 * patch/pointers.h – does the target still hold pointers into a patch?  (DESIGN 2.6)
 * String literals, callbacks, atexit handlers, pthread keys: code is unloaded when nothing reaches
 * it, not when somebody says so.
 */
#ifndef HP_PATCH_POINTERS_H
#define HP_PATCH_POINTERS_H

#include "patch/live.h"

#define HP_POINTERS_MAX_BYTES (1ull << 30) /* of writable memory that is read */

struct hp_pointers {
	size_t in_memory; /* words in writable memory, stacks above their rsp, registers */
	bool stacks_only; /* all of them on stacks, where a dead word may look like a live one */
	char detail[256]; /* "3 pointers in [heap]" */
};

int hp_pointers_find(struct hp_live *lv, struct hp_pointers *ret, struct hp_err *err);

#endif
