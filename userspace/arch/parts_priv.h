/* SPDX-License-Identifier: MIT */
/*
 * arch/parts_priv.h – which places outside of a function's first part belong to it.  Internal to
 * arch/.
 */
#ifndef HP_ARCH_PARTS_PRIV_H
#define HP_ARCH_PARTS_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct hp_cfi;
struct hp_err;
struct hp_flow;
struct hp_image;
struct hp_insn;
struct hp_symtab;

/* A function whose parts are being found. */
struct hp_parts {
	const struct hp_image *im;
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	const char *name;
	hp_addr at;
	struct hp_flow *f;
	struct hp_err *err;
};

/* Says that the code at @pc cannot be read; -HP_E_ENTRY. */
int hp_parts_refuse(const struct hp_parts *p, hp_addr pc, const char *why);


/* Does @target, where the function jumps to, belong to it?  1: it does, its part is added if it was
 * none yet; 0: it does not. */
int hp_parts_take(struct hp_parts *p, hp_addr target);

/* A cold part may be reached through a jump table only: then its name tells it ... */
int hp_parts_take_named(struct hp_parts *p);

/* ... or the table, where the instructions before the jump tell of one. */
struct hp_table {
	hp_addr at;    /* 0: none is known */
	uint64_t n;    /* of its entries; 0: nobody knows */
	bool words;    /* of 64 bits, else 32-bit distances from its beginning */
};
int hp_parts_take_table(struct hp_parts *p, const struct hp_table *t);

/* What is known at a place, from the instructions before it in the same part; zero where one
 * begins. */
struct hp_table_hints {
	hp_addr reg[16]; /* an address that was put into it */
	uint64_t bound;	 /* what something was last compared with */
	unsigned age;	 /* instructions since then */
	struct hp_table table;
};
void hp_table_hint(struct hp_table_hints *h, const struct hp_insn *in);

#endif
