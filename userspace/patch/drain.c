/* SPDX-License-Identifier: MIT */
#include "patch/drain.h"

#include <errno.h>
#include <string.h>

#include "hp/err.h"

#define CLOSED UINT64_MAX

static int put(struct hp_live *lv, unsigned i, size_t field, uint64_t v, struct hp_err *err)
{
	return hp_mem_poke(lv->t, lv->l->fixed.table + i * sizeof(struct hp_drain_entry) + field,
			   &v, sizeof(v), err);
}

/* The main stack grows down without asking: everything to the mapping below is its. */
static hp_addr lowest(const struct hp_maps *maps, hp_addr sp)
{
	for (size_t i = 0; i < maps->n; i++)
		if (sp >= maps->v[i].lo && sp < maps->v[i].hi)
			return strcmp(maps->v[i].path, "[stack]") || !i ? maps->v[i].lo
									: maps->v[i - 1].hi;
	return 0;
}

int hp_drain_open(struct hp_live *lv, hp_addr outermost_sp)
{
	/* The table compares rsp after the gate path's push: a nested call is at least one word
	 * below, a call at the same level is not. */
	hp_addr hi = outermost_sp - 8, lo = lowest(&lv->t->maps, hi);
	unsigned i = lv->drained;

	if (!lo || i >= HP_DRAIN_MAX)
		return -ENOSPC;
	if (put(lv, i, offsetof(struct hp_drain_entry, lo), CLOSED, NULL) < 0 ||
	    put(lv, i, offsetof(struct hp_drain_entry, hi), hi, NULL) < 0 ||
	    put(lv, i, offsetof(struct hp_drain_entry, lo), lo, NULL) < 0)
		return -EIO;
	lv->drained++;
	return (int)i;
}

int hp_drain_close(struct hp_live *lv, int entry, struct hp_err *err)
{
	return put(lv, (unsigned)entry, offsetof(struct hp_drain_entry, lo), CLOSED, err);
}

int hp_drain_close_all(struct hp_live *lv, struct hp_err *err)
{
	for (unsigned i = 0; i < lv->drained; i++) {
		int r = hp_drain_close(lv, (int)i, err);

		if (r < 0)
			return r;
	}
	return 0;
}
