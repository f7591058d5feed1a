/* SPDX-License-Identifier: MIT */
/* base/addr.h – addresses of another process. */
#ifndef HP_BASE_ADDR_H
#define HP_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

/* An address in a target: an integer, so that it cannot be dereferenced here. */
typedef uint64_t hp_addr;

#define HP_PAGE 4096ull
#define HP_PAGE_DOWN(a) ((a) & ~(HP_PAGE - 1))
#define HP_PAGE_UP(a)	(((a) + HP_PAGE - 1) & ~(HP_PAGE - 1))

/* [lo, hi) */
struct hp_range {
	hp_addr lo, hi;
};

static inline bool hp_in(struct hp_range r, hp_addr a)
{
	return a >= r.lo && a < r.hi;
}

#endif
