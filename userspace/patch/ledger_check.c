/* SPDX-License-Identifier: MIT */
/* Whether what a ledger leads to is hp's: asked before anything is written there. */
#include <string.h>

#include "arch/block.h"
#include "hp/err.h"
#include "patch/ledger.h"

#define REREAD_MAX 64

static bool has_name(const struct hp_map *m)
{
	return !strncmp(m->path, HP_MEMFD_PREFIX, strlen(HP_MEMFD_PREFIX));
}

/* Gate pages are memory without a file. */
static bool has_none(const struct hp_map *m)
{
	return !*m->path && !m->shared;
}

struct check {
	const struct hp_ledger *l;
	const struct hp_target *t;
	struct hp_err *err;
};

static int lies_in(const struct check *c, const char *what, hp_addr at, size_t n,
		   bool (*ours)(const struct hp_map *m))
{
	const struct hp_map *m = hp_maps_find(&c->t->maps, at);

	if (m && ours(m) && n <= m->hi - at)
		return 0;
	return hp_err_set(c->err, -HP_E_TARGET,
			  "process %d: the ledger of patch %.16s… says that it has %s at 0x%llx, where "
			  "nothing of hp's is: nothing is changed; restart the process",
			  c->t->pid, c->l->fixed.id, what, (unsigned long long)at);
}

static int check_area(const struct check *c)
{
	const struct hp_ledger_fixed *f = &c->l->fixed;
	int r;

	if ((r = lies_in(c, "its draining table", f->table, HP_PAGE, has_name)) < 0 ||
	    (r = lies_in(c, "a gate", f->gate, HP_PAGE, has_none)) < 0 ||
	    (r = lies_in(c, "a gate", f->gate_back, HP_PAGE, has_none)) < 0 ||
	    (r = lies_in(c, "its words", f->data, HP_PAGE, has_name)) < 0)
		return r;
	return lies_in(c, "its routines", f->code, HP_PAGE, has_name);
}

/* A stub may lie across two pages. */
static int check_function(const struct check *c, const struct hp_ledger_fn *f)
{
	int r;

	if ((r = lies_in(c, "a stub", f->stub, 1, has_name)) < 0 ||
	    (r = lies_in(c, "a stub", f->stub + HP_STUB_LEN - 1, 1, has_name)) < 0)
		return r;
	return lies_in(c, "a door", f->door, sizeof(uint64_t), has_name);
}

int hp_ledger_check_places(const struct hp_ledger *l, const struct hp_target *t, struct hp_err *err)
{
	const struct check c = {l, t, err};
	const struct hp_ledger_fixed *f = &l->fixed;
	int r = check_area(&c);

	for (unsigned i = 0; i < f->n_banks && r >= 0; i++)
		r = lies_in(&c, "slots", f->bank[i] + HP_BANK_SLOTS, sizeof(struct hp_slots), has_name);
	for (unsigned i = 0; i < f->n_fns && r >= 0; i++)
		r = check_function(&c, &f->fn[i]);
	return r;
}

int hp_ledger_refresh(const struct hp_ledger *l, struct hp_looker *looker, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	struct hp_range in[REREAD_MAX] = {{f->area_lo, f->area_hi}};
	size_t n = 1;

	if (f->n_ranges >= REREAD_MAX)
		in[0] = (struct hp_range){0, ~0ull}; /* is as cheap */
	for (unsigned i = 0; i < f->n_ranges && f->n_ranges < REREAD_MAX; i++)
		in[n++] = (struct hp_range){f->range[i].lo, f->range[i].hi};
	return hp_looker_refresh_in(looker, in, n, err);
}
