/* SPDX-License-Identifier: MIT */
/*
 * patch/own_object.h – the code that hp makes for a patch (stubs, path blocks, moved heads) as an
 * ELF object: names after the functions, and call frame information.  It lies behind the ledger in
 * the target's memory, also in a core dump: tools/gdb/hp-gdb.py gives it to gdb, hp to libgcc.
 */
#ifndef HP_PATCH_OWN_OBJECT_H
#define HP_PATCH_OWN_OBJECT_H

#include "patch/plan.h"

struct hp_own_object {
	uint8_t *bytes; /* freed by hp_own_object_free() */
	size_t n;
	hp_addr frames[HP_LEDGER_BANKS]; /* of each bank: a list that ends with a zero word */
};

/* For code as placed, in an object that lies at @base; its size does not depend on that.
 * -HP_E_ENTRY: a head that cannot be moved. */
int hp_own_object_make(struct hp_own_object *ret, const struct hp_plan *p, hp_addr base,
		       struct hp_err *err);
void hp_own_object_free(struct hp_own_object *o);

#endif
