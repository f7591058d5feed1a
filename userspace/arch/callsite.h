/* SPDX-License-Identifier: MIT */
/*
 * arch/callsite.h – what callers of a function assume of its old body.
 *
 * gcc at plain -O2 lets a caller of a function that it saw skip stack alignment
 * (-fipa-stack-alignment) and keep values in caller-saved registers across the call (-fipa-ra).
 * A new body breaks both.  So every direct call of the function in the same image is decoded.
 */
#ifndef HP_ARCH_CALLSITE_H
#define HP_ARCH_CALLSITE_H

#include <stdbool.h>
#include <stddef.h>

#include "arch/regset.h"
#include "base/addr.h"

struct hp_err;
struct hp_image;
struct hp_symtab;
struct hp_cfi;

struct hp_call_site {
	hp_addr at;	     /* of the call */
	char caller[128];    /* the function that it is in, or "0x…" */
	bool tail;	     /* not of the function itself, but of one that jumps to or calls it
				and of which the caller knows as much: "caller" must be replaced,
				or recompiled, as well */
	bool misaligned;     /* rsp is not a multiple of 16 at the call */
	hp_regs live;	     /* caller-saved registers read after the call before being written */
	hp_addr unread;	     /* 0, or an instruction after it that is not known: it may read all of
				@live */
};

struct hp_call_sites {
	struct hp_call_site *v; /* only sites that assume something */
	size_t n, room;
	size_t examined; /* how many direct calls and tail jumps there were in all */
};

/* Examines every direct call and tail jump to @at in the executable segments of @im, and the
 * callers of functions that jump to it or call it where those can know what it does.  A register
 * counts as live when the old body, with all that it calls, leaves it alone, and some path from
 * the call reaches a read of it without a write in a bounded number of steps.  An old body that
 * calls out of the image or through a pointer leaves a caller nothing to assume. */
int hp_call_sites_find(struct hp_call_sites *ret, const struct hp_image *im,
		       const struct hp_symtab *st, const struct hp_cfi *cfi, hp_addr at,
		       struct hp_err *err);
void hp_call_sites_free(struct hp_call_sites *cs);

/* Does a call instruction of @im end at @at, so that it may be a return address? */
bool hp_call_ends_at(const struct hp_image *im, hp_addr at);

#define HP_LIVE_NAMES_MAX 384 /* of all registers */

/* "rcx, xmm3" into @buf.  How wide a vector is nobody knows; only AVX-512 has zmm16-31. */
const char *hp_live_names(hp_regs live, char *buf, size_t n);

#endif
