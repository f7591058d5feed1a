/* SPDX-License-Identifier: MIT */
/*
 * patch/space.h – the target's address space as a plan sees it: its maps, and in them what the plan
 * takes, as if it were mapped.
 */
#ifndef HP_PATCH_SPACE_H
#define HP_PATCH_SPACE_H

#include "target/target.h"

struct hp_space {
	struct hp_maps maps;	/* paths are borrowed from the target's */
	hp_addr brk_lo, brk_hi; /* the heap of brk(2); equal: it is empty so far */
};

/* @t has been refreshed.  -ENOMEM, -HP_E_GONE. */
int hp_space_open(struct hp_space *s, const struct hp_target *t);
void hp_space_close(struct hp_space *s);

int hp_space_take(struct hp_space *s, hp_addr lo, size_t n);

/* Room for @n bytes, no further than @reach from all of @near; 0: there is none.  At random in the
 * nearest room that is so much larger, as far as there is one: nobody in the target can tell where
 * what is not bound to a place will lie, and it is not where something of hp's lay before, whose
 * addresses freed memory may still hold. */
hp_addr hp_space_scattered(const struct hp_space *s, size_t n, struct hp_range near,
			   uint64_t reach);

/* A stub above the break stops the heap from growing past it; malloc then falls back to mmap.
 * That is no harm when it is far away. */
bool hp_space_near_break(const struct hp_space *s, hp_addr stub);

#endif
