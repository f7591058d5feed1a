/* SPDX-License-Identifier: MIT */
/*
 * patch/segments.h – the patch's own segments, mapped from its own file as a dynamic linker would,
 * from outside.
 */
#ifndef HP_PATCH_SEGMENTS_H
#define HP_PATCH_SEGMENTS_H

#include "patch/plan.h"
#include "target/agent.h"

struct hp_segment {
	hp_addr lo, hi;	       /* pages, process addresses */
	hp_addr file_hi;       /* end of the pages that come from the file */
	uint64_t offset;       /* in the file, of lo */
	int prot;
	uint8_t *bytes; /* writable segments: relocated content of [lo, hi); NULL: as in the file */
};

struct hp_segments {
	struct hp_segment *v;
	size_t n, room;
};

/* Computes the contents: file bytes, zeroes, relocations, references. -HP_E_BAD_ELF: a segment that
 * is writable and executable, or overlaps another. */
int hp_segments_plan(struct hp_segments *ret, const struct hp_plan *p, struct hp_err *err);
void hp_segments_free(struct hp_segments *s);

/* Maps and writes them, runs IFUNC resolvers, and makes RELRO read-only. */
int hp_segments_map(const struct hp_segments *s, const struct hp_plan *p, struct hp_agent *a,
		    int agent_fd, struct hp_err *err);

#endif
