/* SPDX-License-Identifier: MIT */
/*
 * Whose calls are looked for, and what it means that a thread stands in hp's own code: in that of
 * the patch itself, or of another one on the same functions.
 */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "patch/live.h"

static int fn_of_block(const struct hp_ledger *l, hp_addr a)
{
	for (unsigned b = 0; b < l->fixed.n_banks; b++) {
		uint64_t off = a - (l->fixed.bank[b] + HP_BANK_TEMPLATE);

		if (off < HP_TEMPLATE_SIZE)
			return hp_ledger_fn_in(l, b, off / HP_BLOCK_SIZE);
	}
	return -1;
}

static int fn_of_moved(const struct hp_ledger *l, hp_addr a)
{
	for (unsigned b = 0; b < l->fixed.n_banks; b++) {
		uint64_t off = a - (l->fixed.bank[b] + HP_BANK_MOVED);

		if (off < HP_BANK_SIZE - HP_BANK_MOVED)
			return hp_ledger_fn_in(l, b, off / HP_MOVED_ROOM);
	}
	return -1;
}

int hp_live_fn_of_block(const struct hp_live *lv, hp_addr a)
{
	return fn_of_block(lv->l, a);
}

/* In the template: what the path's offset means depends on whose calls are looked for. */
static void place_in_block(struct hp_live *lv, unsigned fn, hp_addr pc, struct hp_own_place *ret)
{
	const struct hp_ledger_fn *lf = &lv->l->fixed.fn[fn];
	unsigned off = (unsigned)(pc - hp_live_block(lv, fn));
	unsigned pushed = 0;
	enum hp_block_place where = hp_block_place(off, &pushed);

	*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE, .fn = fn, .pushed = pushed};
	if (where == HP_PLACE_UNSURE)
		return;
	if (where == HP_PLACE_BEFORE) {
		/* A thread still in the other gate's path has its decision made by that gate. */
		if (off >= hp_path_offset(HP_PATH_GATE) &&
		    (off >= hp_path_offset(HP_PATH_GATE_BACK) ? HP_PATH_GATE_BACK : HP_PATH_GATE) !=
			    lv->gate_path)
			return;
		ret->kind = HP_OWN_OUTSIDE;
		ret->as_pc = lf->addr;
		return;
	}
	ret->as_pc = where == HP_PLACE_OLD ? lf->addr : lf->new_addr;
	ret->kind = (where == HP_PLACE_OLD) == (lv->side == HP_OLD) ? HP_OWN_INSIDE : HP_OWN_OUTSIDE;
}

/* In the moved head of function @k of @l, as function @fn of the set. */
static void place_in_moved(struct hp_live *lv, const struct hp_ledger *l, unsigned k, unsigned fn,
			   hp_addr pc, struct hp_own_place *ret)
{
	const struct hp_ledger_fn *lf = &l->fixed.fn[k];
	struct hp_head at_file = lv->fn[fn].head;
	hp_addr moved = hp_moved_addr(l->fixed.bank[lf->bank], lf->slot);

	*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE, .fn = fn};
	/* An old head that is not in the set cannot be unwound from here: it leaves at once. */
	if (lv->side != HP_OLD)
		return;
	ret->kind = HP_OWN_INSIDE;
	ret->as_pc = lf->addr + hp_head_moved_back(&at_file, lf->head_len, moved, pc - moved);
	if (hp_head_moved_in_call(&at_file, lf->head_len, moved, pc - moved))
		ret->pushed = 8;
}

static bool in_inner_stub(const struct hp_ledger *l, unsigned k, hp_addr pc)
{
	const struct hp_ledger_fn *lf = &l->fixed.fn[k];

	return pc - hp_inner_stub(l->fixed.bank[lf->bank], lf->slot) < HP_STUB_LEN;
}

static bool place_in_mine(struct hp_live *lv, hp_addr pc, struct hp_own_place *ret)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	int fn;

	for (unsigned i = 0; i < f->n_fns; i++)
		if (pc - f->fn[i].stub < HP_STUB_LEN || in_inner_stub(lv->l, i, pc)) {
			*ret = (struct hp_own_place){
				.kind = HP_OWN_OUTSIDE, .as_pc = f->fn[i].addr, .fn = i};
			return true;
		}
	/* Not on the jump perhaps: one that came to the int3 before it has its pc set back by the
	 * kernel, and executes the old instruction elsewhere (handle_swbp() in events/uprobes.c). */
	for (unsigned i = 0; i < f->n_fns; i++)
		if (pc == f->fn[i].addr && f->fn[i].method == HP_ENTRY_INT3) {
			*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE, .fn = i};
			return true;
		}
	if ((fn = fn_of_block(lv->l, pc)) >= 0)
		place_in_block(lv, (unsigned)fn, pc, ret);
	else if ((fn = fn_of_moved(lv->l, pc)) >= 0)
		place_in_moved(lv, lv->l, (unsigned)fn, (unsigned)fn, pc, ret);
	return fn >= 0;
}

/* Is @l below this patch on its function @fn? */
static bool is_layer(const struct hp_live *lv, int fn, const struct hp_ledger *l)
{
	for (size_t i = 0; fn >= 0 && i < lv->fn[fn].n_layers; i++)
		if (lv->fn[fn].layer[i].link.l == l)
			return true;
	return false;
}

/* In the code of another patch on the same functions.  Who is in that of a lower one has been sent
 * to the old code by this one; who is in that of a higher one is still to come. */
static bool place_in_near(struct hp_live *lv, const struct hp_ledger *l, hp_addr pc,
			  struct hp_own_place *ret)
{
	int k = fn_of_block(l, pc), fn;
	bool moved = k < 0, inside;

	if (moved && (k = fn_of_moved(l, pc)) < 0)
		return false;
	fn = hp_ledger_fn_on(lv->l, l->fixed.fn[k].addr);
	inside = lv->side == HP_OLD && is_layer(lv, fn, l);
	*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE};
	if (moved && !in_inner_stub(l, (unsigned)k, pc)) {
		if (inside)
			place_in_moved(lv, l, (unsigned)k, (unsigned)fn, pc, ret);
		return true;
	}
	*ret = (struct hp_own_place){.kind = inside ? HP_OWN_INSIDE : HP_OWN_OUTSIDE,
				     .as_pc = l->fixed.fn[k].addr,
				     .pushed = moved ? 0 : hp_block_pushed(pc % HP_BLOCK_SIZE),
				     .fn = inside ? (unsigned)fn : 0};
	return true;
}

static void place(void *arg, hp_addr pc, struct hp_own_place *ret)
{
	struct hp_live *lv = arg;

	if (place_in_mine(lv, pc, ret))
		return;
	for (size_t i = 0; i < lv->near.n; i++)
		if (place_in_near(lv, lv->near.v[i], pc, ret))
			return;
	*ret = (struct hp_own_place){.kind = HP_OWN_NO};
	for (size_t i = 0; i < lv->own.n; i++)
		if (hp_in(lv->own.v[i], pc))
			ret->kind = HP_OWN_UNSURE;
}

static int add_own(struct hp_live *lv, hp_addr lo, hp_addr hi)
{
	struct hp_range *r = HP_ARRAY_ADD(&lv->own);

	if (!r)
		return -ENOMEM;
	*r = (struct hp_range){lo, hi};
	return 0;
}

static int add_banks(struct hp_live *lv, const struct hp_ledger *l)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	int r = 0;

	for (unsigned b = 0; b < f->n_banks && r >= 0; b++)
		r = add_own(lv, f->bank[b] + HP_BANK_TEMPLATE, f->bank[b] + HP_BANK_SIZE);
	return r;
}

static int collect_own(struct hp_live *lv)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	int r = add_own(lv, f->code, f->code + HP_PAGE);

	if (r >= 0)
		r = add_banks(lv, lv->l);
	for (unsigned i = 0; i < f->n_fns && r >= 0; i++)
		r = add_own(lv, f->fn[i].stub, f->fn[i].stub + HP_STUB_LEN);
	/* A probed instruction is stepped out of line there. */
	for (size_t i = 0; i < lv->t->maps.n && r >= 0; i++)
		if (!strncmp(lv->t->maps.v[i].path, "[uprobes", 8))
			r = add_own(lv, lv->t->maps.v[i].lo, lv->t->maps.v[i].hi);
	lv->n_mine = lv->own.n;
	for (size_t i = 0; i < lv->near.n && r >= 0; i++)
		r = add_banks(lv, lv->near.v[i]);
	return r;
}

static int add_parts(struct hp_live *lv, const struct hp_flow *f, unsigned fn, struct hp_err *err)
{
	for (size_t k = 0; k < f->n_parts; k++) {
		struct hp_part *p = HP_ARRAY_ADD(&lv->parts);

		if (!p)
			return hp_err_set(err, -ENOMEM, "no memory for a scene");
		*p = (struct hp_part){f->part[k], fn};
	}
	return 0;
}

/* The program's own code first: its entry is the one that is patched. */
static int collect_parts(struct hp_live *lv, struct hp_err *err)
{
	int r = 0;

	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++) {
		const struct hp_live_fn *f = &lv->fn[i];

		r = add_parts(lv, &f->flow[lv->side], i, err);
		for (size_t k = 0; k < f->n_layers && lv->side == HP_OLD && r >= 0; k++)
			r = add_parts(lv, &f->layer[k].flow, i, err);
	}
	return r;
}

int hp_live_set_scene(struct hp_live *lv, enum hp_side side, enum hp_path gate,
		      struct hp_err *err)
{
	int r;

	lv->side = side;
	lv->gate_path = gate;
	lv->parts.n = lv->own.n = 0;
	if ((r = collect_parts(lv, err)) < 0)
		return r;
	if (collect_own(lv) < 0)
		return hp_err_set(err, -ENOMEM, "no memory for a scene");
	lv->scene = (struct hp_scene){
		.part = lv->parts.v,
		.n_parts = lv->parts.n,
		.own = lv->own.v,
		.n_own = lv->own.n,
		.place = place,
		.arg = lv,
		.entry_is_patched = side == HP_OLD,
	};
	return 0;
}
