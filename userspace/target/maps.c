/* SPDX-License-Identifier: MIT */
/*
 * target/maps.c – the paths lie one behind the other and the mappings point to them: a process of 4,096
 * threads has 8,000 mappings, and a malloc for each would cost more than the reading.
 */
#include "target/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"

#define ADDRESS_END  0x7ffffffff000ull /* TASK_SIZE_MAX of x86-64 with four levels */
#define GROWING_ROOM (64ull << 20)

void hp_maps_free(struct hp_maps *m)
{
	HP_ARRAY_FREE(m);
	for (size_t i = 0; i < m->text.n; i++)
		free(m->text.v[i]);
	HP_ARRAY_FREE(&m->text);
}

/* Index of the first mapping that ends above @a. */
static size_t first_above(const struct hp_maps *m, hp_addr a)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->v[mid].hi > a)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int hp_maps_add(struct hp_maps *m, struct hp_range r)
{
	size_t i = first_above(m, r.lo), behind = m->n - i;
	struct hp_map *last = HP_ARRAY_ADD(m);

	if (!last)
		return -ENOMEM;
	memmove(&m->v[i + 1], &m->v[i], behind * sizeof(*m->v));
	m->v[i] = (struct hp_map){.lo = r.lo, .hi = r.hi, .path = ""};
	return 0;
}

struct hp_range hp_maps_widen(const struct hp_maps *m, struct hp_range r)
{
	for (size_t i = first_above(m, r.lo); i < m->n && m->v[i].lo < r.hi; i++) {
		if (m->v[i].lo < r.lo)
			r.lo = m->v[i].lo;
		if (m->v[i].hi > r.hi)
			r.hi = m->v[i].hi;
	}
	return r;
}

int hp_maps_splice(struct hp_maps *m, struct hp_range r, struct hp_maps *with)
{
	size_t from = first_above(m, r.lo), to = from, n = m->n + with->n;

	while (to < m->n && m->v[to].lo < r.hi)
		to++;
	while (m->room < n)
		if (hp_array_grow((void **)&m->v, &m->room, sizeof(*m->v)) < 0)
			return -ENOMEM;
	while (m->text.room < m->text.n + with->text.n)
		if (hp_array_grow((void **)&m->text.v, &m->text.room, sizeof(*m->text.v)) < 0)
			return -ENOMEM;
	memmove(&m->v[from + with->n], &m->v[to], (m->n - to) * sizeof(*m->v));
	if (with->n)
		memcpy(&m->v[from], with->v, with->n * sizeof(*m->v));
	m->n = n - (to - from);
	for (size_t i = 0; i < with->text.n; i++)
		m->text.v[m->text.n++] = with->text.v[i];
	with->text.n = 0;
	hp_maps_free(with);
	return 0;
}

const struct hp_map *hp_maps_find(const struct hp_maps *m, hp_addr a)
{
	size_t i = first_above(m, a);

	return i < m->n && m->v[i].lo <= a ? &m->v[i] : NULL;
}

bool hp_maps_free_range(const struct hp_maps *m, struct hp_range r)
{
	size_t i = first_above(m, r.lo);

	return r.lo < r.hi && (i == m->n || m->v[i].lo >= r.hi);
}

static hp_addr lowest_address(void)
{
	static hp_addr lowest; /* nobody changes it while a job runs */
	char *text;

	if (lowest)
		return lowest;
	lowest = 0x10000;
	if (hp_read_file(AT_FDCWD, "/proc/sys/vm/mmap_min_addr", 64, &text, NULL) == 0) {
		lowest = HP_PAGE_UP(strtoull(text, NULL, 10));
		free(text);
	}
	lowest = lowest < HP_PAGE ? HP_PAGE : lowest;
	return lowest;
}

/* What of the hole [lo, hi) between two mappings may be used. */
static struct hp_range usable(hp_addr lo, hp_addr hi, const struct hp_map *below,
			      const struct hp_map *above)
{
	struct hp_range r = {lo + HP_PAGE, hi - HP_PAGE};

	if (hi < lo + 2 * HP_PAGE)
		return (struct hp_range){0, 0};
	if (below && strcmp(below->path, "[heap]") == 0)
		r.lo = lo + GROWING_ROOM;
	if (above && strcmp(above->path, "[stack]") == 0)
		r.hi = hi > GROWING_ROOM ? hi - GROWING_ROOM : 0;
	return r;
}

struct room {
	struct hp_range near;
	size_t n;
	uint64_t reach, distance;
	hp_addr best;
};

static void consider(struct room *w, struct hp_range hole, hp_addr a)
{
	hp_addr lo = a < w->near.lo ? a : w->near.lo;
	hp_addr hi = a + w->n > w->near.hi ? a + w->n : w->near.hi;

	if (a < hole.lo || a + w->n > hole.hi || a + w->n < a)
		return;
	if (hi - lo > w->reach || (w->best && hi - lo >= w->distance))
		return;
	w->best = a;
	w->distance = hi - lo;
}

static void consider_hole(struct room *w, struct hp_range hole)
{
	hp_addr below = HP_PAGE_DOWN(w->near.lo), above = HP_PAGE_UP(w->near.hi);

	if (hole.hi <= hole.lo || hole.hi - hole.lo < w->n)
		return;
	if (below > hole.hi)
		below = hole.hi;
	if (below >= w->n)
		consider(w, hole, below - w->n);
	consider(w, hole, above > hole.lo ? above : hole.lo);
}

hp_addr hp_maps_find_room(const struct hp_maps *m, size_t n, struct hp_range near, uint64_t reach)
{
	struct room w = {.near = near, .n = HP_PAGE_UP(n), .reach = reach};
	hp_addr lo = lowest_address();
	const struct hp_map *below = NULL;

	for (size_t i = 0; i < m->n && m->v[i].lo < ADDRESS_END; i++) {
		const struct hp_map *above = &m->v[i];

		if (above->lo > lo)
			consider_hole(&w, usable(lo, above->lo, below, above));
		below = above;
		lo = above->hi > lo ? above->hi : lo;
	}
	if (lo < ADDRESS_END)
		consider_hole(&w, usable(lo, ADDRESS_END, below, NULL));
	return w.best;
}
