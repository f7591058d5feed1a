/* SPDX-License-Identifier: MIT */
#include "patch/drain.h"

#include <errno.h>
#include <string.h>

#include "hp/err.h"

#define CLOSED	    UINT64_MAX
#define RENEW_TRIES 20

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

static bool somebody_else_in(const struct hp_census *c, pid_t tid, hp_addr lo, hp_addr hi)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].tid != tid && c->v[i].sp >= lo && c->v[i].sp < hi)
			return true;
	return false;
}

int hp_drain_open(struct hp_census *c, pid_t tid, hp_addr outermost_sp)
{
	struct hp_live *lv = c->lv;
	/* The table compares rsp after the gate path's push: a nested call is at least one word
	 * below, a call at the same level is not. */
	hp_addr hi = outermost_sp - 8, lo = lowest(&lv->t->maps, hi);
	unsigned i = lv->drained;

	if (!lo || i >= HP_DRAIN_MAX || somebody_else_in(c, tid, lo, hi))
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

int hp_drain_renew(struct hp_census *c, struct hp_err *err)
{
	static const struct hp_drain_entry none[HP_DRAIN_MAX];
	struct hp_live *lv = c->lv;
	struct hp_seen seen;
	int r;

	if (lv->drained < HP_DRAIN_MAX / 2)
		return 0;
	if ((r = hp_census_take(c, err)) < 0)
		return r;
	for (size_t i = 0; i < c->n; i++) {
		unsigned tries = RENEW_TRIES;

		do
			r = hp_census_look(c, &c->v[i], &seen, err);
		while (r == HP_SEEN_AGAIN && --tries);
		if (r < 0)
			return r;
		if (r == HP_SEEN_AGAIN || hp_live_fn_of_block(lv, seen.regs.rip) >= 0)
			return 0; /* not now */
	}
	r = hp_mem_poke(lv->t, lv->l->fixed.table, none, lv->drained * sizeof(none[0]), err);
	if (r >= 0)
		lv->drained = 0;
	return r;
}
