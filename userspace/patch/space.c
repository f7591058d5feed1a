/* SPDX-License-Identifier: MIT */
#include "patch/space.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"

#define BRK_ROOM (64ull << 20)
#define SCATTER	 (256ull << 20) /* 16 bits of pages */

int hp_space_open(struct hp_space *s, const struct hp_target *t)
{
	char path[64], *text, *p;
	unsigned long long start_brk = 0;

	*s = (struct hp_space){0};
	for (size_t i = 0; i < t->maps.n; i++) {
		struct hp_map *m = HP_ARRAY_ADD(&s->maps);

		if (!m)
			return -ENOMEM;
		*m = t->maps.v[i];
		if (!strcmp(m->path, "[heap]")) {
			s->brk_lo = m->lo;
			s->brk_hi = m->hi;
		}
	}
	if (s->brk_hi)
		return 0;
	/* No heap yet: proc(5), /proc/PID/stat field 47, start_brk. */
	snprintf(path, sizeof(path), "/proc/%d/stat", t->pid);
	if (hp_read_file(-1, path, 8192, &text, NULL) < 0)
		return -HP_E_GONE;
	p = strrchr(text, ')');
	for (int field = 2; p && field < 47; field++)
		p = strchr(p + 1, ' ');
	if (p)
		start_brk = strtoull(p, NULL, 10);
	free(text);
	s->brk_lo = s->brk_hi = start_brk;
	return 0;
}

void hp_space_close(struct hp_space *s)
{
	HP_ARRAY_FREE(&s->maps);
}

int hp_space_take(struct hp_space *s, hp_addr lo, size_t n)
{
	return hp_maps_add(&s->maps, (struct hp_range){lo, lo + n});
}

hp_addr hp_space_scattered(const struct hp_space *s, size_t n, struct hp_range near, uint64_t reach)
{
	uint64_t more = SCATTER;
	hp_addr at;

	while (!(at = hp_maps_find_room(&s->maps, n + more, near, reach)) && more)
		more = HP_PAGE_DOWN(more / 16);
	return at ? at + HP_PAGE * randombytes_uniform((uint32_t)(more / HP_PAGE) + 1) : 0;
}

bool hp_space_near_break(const struct hp_space *s, hp_addr stub)
{
	uint64_t room = 2 * (s->brk_hi - s->brk_lo);

	if (stub < s->brk_hi)
		return false;
	for (size_t i = 0; i < s->maps.n; i++)
		if (s->maps.v[i].lo >= s->brk_hi && s->maps.v[i].hi <= stub)
			return false;
	return stub - s->brk_hi < (room > BRK_ROOM ? room : BRK_ROOM);
}
