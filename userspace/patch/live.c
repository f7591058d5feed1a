/* SPDX-License-Identifier: MIT */
#include "patch/live.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "hp/err.h"
#include "patch/chain.h"

void hp_live_report(struct hp_live *lv, const char *step, uint64_t since_ns, const char *detail)
{
	if (lv->ops->report.step)
		lv->ops->report.step(lv->ops->report.arg, step,
				     since_ns ? hp_now_ns() - since_ns : 0, detail);
}

static void free_fn(struct hp_live_fn *f)
{
	for (int side = HP_OLD; side <= HP_NEW; side++)
		hp_flow_free(&f->flow[side]);
	for (size_t i = 0; i < f->n_layers; i++)
		hp_flow_free(&f->layer[i].flow);
	free(f->layer);
}

void hp_live_free(struct hp_live *lv)
{
	if (!lv)
		return;
	for (unsigned i = 0; lv->fn && i < lv->l->fixed.n_fns; i++)
		free_fn(&lv->fn[i]);
	free(lv->fn);
	HP_ARRAY_FREE(&lv->near);
	HP_ARRAY_FREE(&lv->parts);
	HP_ARRAY_FREE(&lv->own);
	free(lv);
}

static void rebase(struct hp_flow *f, hp_addr bias)
{
	for (size_t i = 0; i < f->n_parts; i++) {
		f->part[i].lo += bias;
		f->part[i].hi += bias;
	}
	for (size_t i = 0; i < f->n_exits; i++)
		f->exit[i] += bias;
	f->unknown_at += bias;
}

/* The code of a function as it is mapped: where @m has it, from the file. */
static int read_flow(struct hp_live *lv, hp_addr at, uint64_t size, const char *name,
		     struct hp_flow *flow, struct hp_module **module, struct hp_err *err)
{
	struct hp_module *m = hp_target_module_at(lv->t, at);
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	int r;

	if (!m)
		return hp_err_set(err, -HP_E_TARGET, "%s lies in no file that is mapped any more",
				  name);
	if ((r = hp_module_symtab(m, &st, err)) < 0 || (r = hp_module_cfi(m, &cfi, err)) < 0 ||
	    (r = hp_flow_read(flow, m->image, st, cfi, name, at - m->bias, size, err)) < 0)
		return r;
	rebase(flow, m->bias);
	*module = m;
	return 0;
}

static int open_sides(struct hp_live *lv, unsigned i, struct hp_err *err)
{
	const struct hp_ledger_fn *lf = &lv->l->fixed.fn[i];
	struct hp_live_fn *f = &lv->fn[i];
	struct hp_module *m;
	int r;

	if ((r = read_flow(lv, lf->addr, lf->size, lf->old_name, &f->flow[HP_OLD],
			   &f->module[HP_OLD], err)) < 0 ||
	    (r = read_flow(lv, lf->new_addr, lf->new_size, lf->new_name, &f->flow[HP_NEW],
			   &f->module[HP_NEW], err)) < 0)
		return r;
	m = f->module[HP_OLD];
	r = hp_head_read(&f->head, m->image, lf->old_name, lf->addr - m->bias, lf->size, err);
	f->head.at += m->bias;
	return r;
}

static int add_near(struct hp_live *lv, struct hp_ledger *l, struct hp_err *err)
{
	struct hp_ledger **near;

	for (size_t i = 0; i < lv->near.n; i++)
		if (lv->near.v[i] == l)
			return 0;
	near = HP_ARRAY_ADD(&lv->near);
	if (!near)
		return hp_err_set(err, -ENOMEM, "no memory for a patch");
	*near = l;
	return hp_ledger_check_places(l, lv->t, err);
}

static int open_layers(struct hp_live *lv, unsigned i, const struct hp_chain *c, size_t from,
		       struct hp_err *err)
{
	struct hp_live_fn *f = &lv->fn[i];
	int r = 0;

	if (from >= c->n)
		return 0;
	f->layer = calloc(c->n - from, sizeof(*f->layer));
	if (!f->layer)
		return hp_err_set(err, -ENOMEM, "no memory for the patches on %s",
				  lv->l->fixed.fn[i].old_name);
	for (size_t k = from; k < c->n && r >= 0; k++) {
		struct hp_layer *layer = &f->layer[f->n_layers++];
		const struct hp_ledger_fn *lf = &c->v[k].l->fixed.fn[c->v[k].fn];

		layer->link = c->v[k];
		r = read_flow(lv, lf->new_addr, lf->new_size, lf->new_name, &layer->flow,
			      &layer->module, err);
	}
	return r;
}

/* What lies below this patch runs as its old code: all of the chain for one that is not in it yet. */
static int open_chain(struct hp_live *lv, unsigned i, struct hp_err *err)
{
	struct hp_chain c;
	size_t me;
	int r = hp_chain_read(lv->t, lv->all, lv->l->fixed.fn[i].door, &c, err);

	if (r < 0)
		return r;
	me = hp_chain_find(&c, lv->l);
	lv->fn[i].top = c.n && me == 0;
	for (size_t k = 0; k < c.n && r >= 0; k++)
		if (k != me)
			r = add_near(lv, c.v[k].l, err);
	if (r >= 0)
		r = open_layers(lv, i, &c, me < c.n ? me + 1 : 0, err);
	hp_chain_free(&c);
	return r;
}

static unsigned table_used(const struct hp_live *lv)
{
	struct hp_drain_entry e[HP_DRAIN_MAX];
	unsigned n = 0;

	if (hp_mem_read(lv->t, lv->l->fixed.table, e, sizeof(e), NULL) < 0)
		return HP_DRAIN_MAX; /* none can be added then */
	while (n < HP_DRAIN_MAX && e[n].lo)
		n++;
	return n;
}

int hp_live_open(struct hp_live **ret, struct hp_ops *ops, struct hp_target *t,
		 struct hp_looker *looker, struct hp_ledger *l, const struct hp_ledgers *all,
		 struct hp_err *err)
{
	struct hp_live *lv = calloc(1, sizeof(*lv));
	int r = 0;

	if (!lv || !(lv->fn = calloc(l->fixed.n_fns + 1, sizeof(*lv->fn)))) {
		free(lv);
		return hp_err_set(err, -ENOMEM, "no memory for a patch");
	}
	lv->ops = ops;
	lv->t = t;
	lv->looker = looker;
	lv->l = l;
	lv->all = all;
	r = hp_ledger_check_places(l, t, err);
	for (unsigned i = 0; i < l->fixed.n_fns && r >= 0; i++)
		if ((r = open_sides(lv, i, err)) >= 0)
			r = open_chain(lv, i, err);
	if (r >= 0)
		r = hp_target_files_check(t, err);
	if (r < 0) {
		hp_live_free(lv);
		return r;
	}
	lv->drained = table_used(lv);
	*ret = lv;
	return 0;
}

hp_addr hp_live_block(const struct hp_live *lv, unsigned fn)
{
	const struct hp_ledger_fn *lf = &lv->l->fixed.fn[fn];

	return hp_block_addr(lv->l->fixed.bank[lf->bank], lf->slot);
}

/* The other seven bytes of each word are written as they are: whatever order the kernel copies
 * them in, every word is either the old or the new one. */
static int show(struct hp_live *lv, size_t array, enum hp_path path, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	uint64_t word[HP_BANK_FNS];
	int r;

	for (unsigned b = 0; b < f->n_banks; b++) {
		unsigned n = 0;

		for (unsigned i = 0; i < f->n_fns; i++)
			if (f->fn[i].bank == b && f->fn[i].slot >= n)
				n = f->fn[i].slot + 1u;
		for (unsigned i = 0; i < n; i++)
			word[i] = hp_block_addr(f->bank[b], i) + hp_path_offset(path);
		r = hp_mem_poke(lv->t, f->bank[b] + HP_BANK_SLOTS + array, word, n * sizeof(*word),
				err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Doors lie beside each other where one patch was the first on many functions: one write for each
 * such row. */
static int show_doors(struct hp_live *lv, enum hp_path path, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	uint64_t word[HP_BANK_FNS];
	hp_addr first = 0;
	size_t n = 0;
	int r = 0;

	for (unsigned i = 0; i <= f->n_fns && r >= 0; i++) {
		bool more = i < f->n_fns && lv->fn[i].top;

		if (n && (!more || n == HP_BANK_FNS || f->fn[i].door != first + 8 * n)) {
			r = hp_mem_poke(lv->t, first, word, n * sizeof(*word), err);
			n = 0;
		}
		if (!more)
			continue;
		if (!n)
			first = f->fn[i].door;
		word[n++] = hp_live_block(lv, i) + hp_path_offset(path);
	}
	return r;
}

int hp_live_show_first(struct hp_live *lv, enum hp_path path, struct hp_err *err)
{
	int r = show(lv, offsetof(struct hp_slots, first), path, err);

	return r < 0 ? r : show_doors(lv, path, err);
}

int hp_live_show_second(struct hp_live *lv, enum hp_path path, struct hp_err *err)
{
	return show(lv, offsetof(struct hp_slots, second), path, err);
}

int hp_live_gate_byte(struct hp_live *lv, enum hp_path gate, struct hp_err *err)
{
	hp_addr at = gate == HP_PATH_GATE ? lv->l->fixed.gate : lv->l->fixed.gate_back;
	uint8_t byte;
	int r = hp_mem_read(lv->t, at, &byte, 1, err);

	return r < 0 ? r : byte;
}
