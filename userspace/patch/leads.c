/* SPDX-License-Identifier: MIT */
#include "patch/leads.h"

#include <errno.h>

#include "arch/block.h"
#include "base/array.h"
#include "patch/ledger.h"

static int by_place(const void *x, const void *y)
{
	const struct hp_lead *a = x, *b = y;

	if (a->door != b->door)
		return a->door < b->door ? -1 : 1;
	if (a->from_door != b->from_door)
		return a->from_door ? 1 : -1;
	return a->at < b->at ? -1 : a->at > b->at;
}

int hp_leads_add(struct hp_leads *s, struct hp_ledger *l)
{
	for (unsigned i = 0; i < l->fixed.n_fns; i++) {
		const struct hp_ledger_fn *f = &l->fixed.fn[i];
		hp_addr bank = l->fixed.bank[f->bank];
		const struct hp_lead way[] = {
			{f->door, hp_block_addr(bank, f->slot), true, HP_BLOCK_SIZE, {l, i}},
			{f->door, f->new_addr, true, 1, {l, i}},
			{f->door, hp_inner_stub(bank, f->slot), false, 1, {l, i}},
		};

		for (size_t k = 0; k < sizeof(way) / sizeof(way[0]); k++) {
			struct hp_lead *lead = HP_ARRAY_ADD(s);

			if (!lead)
				return -ENOMEM;
			*lead = way[k];
		}
	}
	return 0;
}

void hp_leads_sort(struct hp_leads *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_place);
}

void hp_leads_drop(struct hp_leads *s, const struct hp_ledger *l)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].to.l != l)
			s->v[n++] = s->v[i];
	s->n = n;
}

const struct hp_link *hp_leads_find(const struct hp_leads *s, hp_addr door, hp_addr word,
				    bool from_door)
{
	const struct hp_lead key = {.door = door, .at = word, .from_door = from_door}, *last;
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_place(&s->v[mid], &key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	last = &s->v[lo - 1];
	if (last->door != door || last->from_door != from_door)
		return NULL;
	return word - last->at < last->n_bytes ? &last->to : NULL;
}
