/* SPDX-License-Identifier: MIT */
#include "patch/unstage.h"

#include <stdio.h>
#include <string.h>

#include "arch/block.h"
#include "arch/template.h"
#include "base/fault.h"
#include "hp/err.h"

static bool is_memfd_of(const struct hp_map *m, const struct hp_ledger *l)
{
	char memfd[64];

	snprintf(memfd, sizeof(memfd), HP_MEMFD_PREFIX "%.16s", l->fixed.id);
	return !strncmp(m->path, memfd, strlen(memfd));
}

/* What a patch that is gone has left for those that came after it, is theirs. */
static bool has_file(const struct hp_map *m, const struct hp_ledger *l,
		     const struct hp_ledgers *all)
{
	if (strstr(m->path, "/" HP_TEMPLATE_FILES) || strstr(m->path, l->fixed.id) ||
	    is_memfd_of(m, l))
		return true;
	if (strncmp(m->path, HP_MEMFD_PREFIX, strlen(HP_MEMFD_PREFIX)))
		return false;
	for (size_t i = 0; i < all->n; i++)
		if (is_memfd_of(m, all->v[i]))
			return false;
	return true;
}

/* The first mapping that ends behind @lo. */
static size_t first_behind(const struct hp_maps *m, hp_addr lo)
{
	size_t from = 0, to = m->n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (m->v[mid].hi <= lo)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* Unmaps what is ours in [lo, hi).  @taken: it was taken as a whole first, so that memory without a
 * file is ours too, unless that failed and nothing of ours is there. */
static int unmap(const struct hp_ledger *l, const struct hp_ledgers *all, const struct hp_target *t,
		 hp_addr lo, hp_addr hi, bool taken, struct hp_agent *a, struct hp_err *err)
{
	const struct hp_maps *maps = &t->maps;
	size_t first = first_behind(maps, lo);
	bool there = false;

	for (size_t k = first; k < maps->n && maps->v[k].lo < hi; k++)
		there |= has_file(&maps->v[k], l, all);
	if (!there)
		return 0;
	if (taken)
		return hp_agent_unmap(a, lo, hi - lo, err);
	for (size_t k = first; k < maps->n && maps->v[k].lo < hi; k++) {
		const struct hp_map *m = &maps->v[k];
		hp_addr from = m->lo > lo ? m->lo : lo, to = m->hi < hi ? m->hi : hi;
		int r;

		if (!has_file(m, l, all))
			continue;
		if ((r = hp_agent_unmap(a, from, to - from, err)) < 0)
			return r;
	}
	return 0;
}

static bool has_range(const struct hp_ledger *l, hp_addr lo)
{
	for (unsigned i = 0; i < l->fixed.n_ranges; i++)
		if (l->fixed.range[i].lo == lo)
			return true;
	return false;
}

/* Does another patch have a part in what @l has at @lo? */
static bool needed(const struct hp_ledger *l, const struct hp_ledgers *all, hp_addr lo)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i] != l && has_range(all->v[i], lo))
			return true;
	return false;
}

static bool stub_needed(const struct hp_ledger *l, const struct hp_ledgers *all, hp_addr stub)
{
	for (size_t i = 0; i < all->n; i++)
		for (unsigned k = 0; k < all->v[i]->fixed.n_fns; k++)
			if (all->v[i] != l && all->v[i]->fixed.fn[k].stub == stub)
				return true;
	return false;
}

/* The page at @page stays for others: @l's stubs in it go. */
static int void_stubs(const struct hp_ledger *l, const struct hp_ledgers *all,
		      const struct hp_target *t, hp_addr page, struct hp_err *err)
{
	uint8_t none[HP_STUB_LEN];
	int r = 0;

	memset(none, 0xcc, sizeof(none));
	for (unsigned i = 0; i < l->fixed.n_fns && r >= 0; i++) {
		hp_addr stub = l->fixed.fn[i].stub;
		hp_addr lo = stub > page ? stub : page;
		hp_addr hi =
			stub + HP_STUB_LEN < page + HP_PAGE ? stub + HP_STUB_LEN : page + HP_PAGE;

		if (lo < hi && !stub_needed(l, all, stub))
			r = hp_mem_poke(t, lo, none, hi - lo, err);
	}
	return r;
}

int hp_unstage(const struct hp_ledger *l, const struct hp_ledgers *all, struct hp_target *t,
	       struct hp_agent *a, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	int r = 0;

	for (unsigned i = 0; i < f->n_ranges && r >= 0; i++) {
		hp_addr lo = f->range[i].lo;

		r = needed(l, all, lo)
			    ? void_stubs(l, all, t, lo, err)
			    : unmap(l, all, t, lo, f->range[i].hi, lo == f->patch_lo, a, err);
	}
	if (r < 0 || (r = hp_fault(HP_FAULT_UNMAP_RANGES, err)) < 0 ||
	    (r = unmap(l, all, t, f->area_lo, f->area_hi, true, a, err)) < 0)
		return r;
	return hp_fault(HP_FAULT_UNMAP_LEDGER, err);
}
