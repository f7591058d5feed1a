/* SPDX-License-Identifier: MIT */
/*
 * arch/callsite_priv.h – the steps of the call-site analysis.  Internal to arch/.
 *
 * gcc lets a caller rely on what it saw of a function: the registers that the function and all it
 * calls leave alone, and the alignment that none of them needs.  Whatever calls out of the image,
 * or through a pointer, promises nothing, so most functions are done with at once.
 */
#ifndef HP_ARCH_CALLSITE_PRIV_H
#define HP_ARCH_CALLSITE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/regset.h"
#include "base/addr.h"
#include "base/array.h"

struct hp_err;
struct hp_image;
struct hp_symtab;
struct hp_cfi;

struct hp_addrs {
	hp_addr *v;
	size_t n, room;
};

/* What a function does by itself, and what it calls or jumps to. */
struct hp_own {
	hp_addr at;
	bool unknown; /* calls what cannot be seen: may do anything */
	bool returns; /* has a way out */
	hp_regs clobbers;
	struct hp_addrs callees;
};

/* The same for a function and everything that it calls. */
struct hp_effects {
	bool unknown, returns;
	hp_regs clobbers;
};

struct hp_calls {
	const struct hp_image *im;
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	HP_ARRAY(struct hp_own) own; /* read so far */
};

void hp_calls_free(struct hp_calls *c);

/* The function that a pc lies in. */
struct hp_body {
	struct hp_range r;
	const char *name; /* NULL: none known */
	bool cold;	  /* a part that is jumped into */
};

/* False if neither a symbol nor an FDE covers @pc. */
bool hp_body_find(const struct hp_calls *c, hp_addr pc, struct hp_body *ret);

/* Effects of the function that begins at, or the cold part that covers, @at. */
int hp_effects_find(struct hp_calls *c, hp_addr at, struct hp_effects *ret, struct hp_err *err);

/* What may be read before it is written. */
struct hp_live_regs {
	hp_regs live;
	hp_addr unread; /* an instruction that is not known, and may read anything; 0: there is none */
};

/* Which of @regs, from @pc on. */
int hp_live_after(struct hp_calls *c, hp_addr pc, hp_regs regs, struct hp_live_regs *ret,
		  struct hp_err *err);

/* Is rsp known not to be a multiple of 16 at the call at @pc in @body? */
bool hp_call_is_misaligned(const struct hp_calls *c, const struct hp_body *body, hp_addr pc);

/* A direct call or jump. */
struct hp_ref {
	hp_addr at;
	bool call;
	struct hp_body from; /* .r empty: no symbol and no FDE there */
};

struct hp_refs {
	struct hp_ref *v;
	size_t n, room;
};

/* All direct calls of, and jumps to, addresses in @to from outside of it. */
int hp_refs_find(struct hp_refs *ret, const struct hp_calls *c, struct hp_range to,
		 struct hp_err *err);

#endif
