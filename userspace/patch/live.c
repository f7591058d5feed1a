/* SPDX-License-Identifier: MIT */
#include "patch/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

void hp_live_report(struct hp_live *lv, const char *step, uint64_t since_ns, const char *detail)
{
	if (lv->ops->report.step)
		lv->ops->report.step(lv->ops->report.arg, step,
				     since_ns ? hp_now_ns() - since_ns : 0, detail);
}

void hp_live_free(struct hp_live *lv)
{
	if (!lv)
		return;
	for (unsigned i = 0; lv->fn && i < lv->l->fixed.n_fns; i++)
		for (int side = HP_OLD; side <= HP_NEW; side++)
			hp_flow_free(&lv->fn[i].flow[side]);
	free(lv->fn);
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

static int open_side(struct hp_live *lv, unsigned i, enum hp_side side, struct hp_err *err)
{
	const struct hp_ledger_fn *lf = &lv->l->fixed.fn[i];
	hp_addr at = side == HP_OLD ? lf->addr : lf->new_addr;
	const char *name = side == HP_OLD ? lf->old_name : lf->new_name;
	uint64_t size = side == HP_OLD ? lf->size : lf->new_size;
	struct hp_module *m = hp_target_module_at(lv->t, at);
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	int r;

	if (!m)
		return hp_err_set(err, -HP_E_TARGET, "%s lies in no file that is mapped any more",
				  name);
	if ((r = hp_module_symtab(m, &st, err)) < 0 || (r = hp_module_cfi(m, &cfi, err)) < 0 ||
	    (r = hp_flow_read(&lv->fn[i].flow[side], m->image, st, cfi, name, at - m->bias, size,
			      err)) < 0)
		return r;
	rebase(&lv->fn[i].flow[side], m->bias);
	lv->fn[i].module[side] = m;
	if (side == HP_NEW)
		return 0;
	r = hp_head_read(&lv->fn[i].head, m->image, name, at - m->bias, size, err);
	lv->fn[i].head.at += m->bias;
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
		 struct hp_looker *looker, struct hp_ledger *l, struct hp_err *err)
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
	for (unsigned i = 0; i < l->fixed.n_fns && r >= 0; i++)
		if ((r = open_side(lv, i, HP_OLD, err)) >= 0)
			r = open_side(lv, i, HP_NEW, err);
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

static int fn_in_slot(const struct hp_live *lv, unsigned bank, uint64_t slot)
{
	for (unsigned i = 0; i < lv->l->fixed.n_fns; i++)
		if (lv->l->fixed.fn[i].bank == bank && lv->l->fixed.fn[i].slot == slot)
			return (int)i;
	return -1;
}

int hp_live_fn_of_block(const struct hp_live *lv, hp_addr a)
{
	for (unsigned b = 0; b < lv->l->fixed.n_banks; b++) {
		uint64_t off = a - (lv->l->fixed.bank[b] + HP_BANK_TEMPLATE);

		if (off < HP_TEMPLATE_SIZE)
			return fn_in_slot(lv, b, off / HP_BLOCK_SIZE);
	}
	return -1;
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

static void place_in_moved(struct hp_live *lv, unsigned fn, hp_addr pc, struct hp_own_place *ret)
{
	const struct hp_ledger_fn *lf = &lv->l->fixed.fn[fn];
	struct hp_head at_file = lv->fn[fn].head;
	hp_addr moved = hp_moved_addr(lv->l->fixed.bank[lf->bank], lf->slot);

	*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE, .fn = fn};
	/* An old head that is not in the set cannot be unwound from here: it leaves at once. */
	if (lv->side != HP_OLD)
		return;
	ret->kind = HP_OWN_INSIDE;
	ret->as_pc = lf->addr + hp_head_moved_back(&at_file, lf->head_len, moved, pc - moved);
	if (hp_head_moved_in_call(&at_file, lf->head_len, moved, pc - moved))
		ret->pushed = 8;
}

static void place(void *arg, hp_addr pc, struct hp_own_place *ret)
{
	struct hp_live *lv = arg;
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	int fn;

	for (unsigned i = 0; i < f->n_fns; i++)
		if (pc - f->fn[i].stub < HP_STUB_LEN) {
			*ret = (struct hp_own_place){
				.kind = HP_OWN_OUTSIDE, .as_pc = f->fn[i].addr, .fn = i};
			return;
		}
	/* Not on the jump perhaps: one that came to the int3 before it has its pc set back by the
	 * kernel, and executes the old instruction elsewhere (handle_swbp() in events/uprobes.c). */
	for (unsigned i = 0; i < f->n_fns; i++)
		if (pc == f->fn[i].addr && f->fn[i].method == HP_ENTRY_INT3) {
			*ret = (struct hp_own_place){.kind = HP_OWN_UNSURE, .fn = i};
			return;
		}
	fn = hp_live_fn_of_block(lv, pc);
	if (fn >= 0) {
		place_in_block(lv, (unsigned)fn, pc, ret);
		return;
	}
	for (unsigned b = 0; b < f->n_banks; b++) {
		uint64_t off = pc - (f->bank[b] + HP_BANK_MOVED);

		if (off >= HP_BANK_SIZE - HP_BANK_MOVED)
			continue;
		fn = fn_in_slot(lv, b, off / HP_MOVED_ROOM);
		if (fn >= 0) {
			place_in_moved(lv, (unsigned)fn, pc, ret);
			return;
		}
	}
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

static int collect_own(struct hp_live *lv)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	int r = add_own(lv, f->code, f->code + HP_PAGE);

	for (unsigned b = 0; b < f->n_banks && r >= 0; b++)
		r = add_own(lv, f->bank[b] + HP_BANK_TEMPLATE, f->bank[b] + HP_BANK_SIZE);
	for (unsigned i = 0; i < f->n_fns && r >= 0; i++)
		if (f->fn[i].method == HP_ENTRY_PUN)
			r = add_own(lv, f->fn[i].stub, f->fn[i].stub + HP_STUB_LEN);
	/* A probed instruction is stepped out of line there. */
	for (size_t i = 0; i < lv->t->maps.n && r >= 0; i++)
		if (!strncmp(lv->t->maps.v[i].path, "[uprobes", 8))
			r = add_own(lv, lv->t->maps.v[i].lo, lv->t->maps.v[i].hi);
	return r;
}

int hp_live_set_scene(struct hp_live *lv, enum hp_side side, enum hp_path gate,
		      struct hp_err *err)
{
	int r = hp_maps_read(&lv->t->maps, lv->t->pid, err); /* stacks and [uprobes] come and go */

	if (r < 0)
		return r;
	lv->side = side;
	lv->gate_path = gate;
	lv->parts.n = lv->own.n = 0;
	for (unsigned i = 0; i < lv->l->fixed.n_fns; i++) {
		const struct hp_flow *f = &lv->fn[i].flow[side];

		for (size_t k = 0; k < f->n_parts; k++) {
			struct hp_part *p = HP_ARRAY_ADD(&lv->parts);

			if (!p)
				return hp_err_set(err, -ENOMEM, "no memory for a scene");
			*p = (struct hp_part){f->part[k], i};
		}
	}
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

int hp_live_show_first(struct hp_live *lv, enum hp_path path, struct hp_err *err)
{
	return show(lv, offsetof(struct hp_slots, first), path, err);
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
