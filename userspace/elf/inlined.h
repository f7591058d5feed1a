/* SPDX-License-Identifier: MIT */
/*
 * elf/inlined.h – where a function was inlined, as far as DWARF tells: those copies are not replaced.
 */
#ifndef HP_ELF_INLINED_H
#define HP_ELF_INLINED_H

#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;

#define HP_INLINED_MAX 16

struct hp_inlined {
	char into[HP_INLINED_MAX][128]; /* the functions that hold a copy */
	size_t n;			/* may be more than HP_INLINED_MAX */
};

/* Looks for copies of the function at @vaddr of @im, in its own debug information or in @debug
 * (may be NULL).  Without any, ret->n is 0: nothing is known then. */
int hp_inlined_find(struct hp_inlined *ret, const struct hp_image *im,
		    const struct hp_image *debug, uint64_t vaddr, struct hp_err *err);

#endif
