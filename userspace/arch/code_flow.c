/* SPDX-License-Identifier: MIT */
/*
 * A part is decoded from its first byte to its last, not along its branches: compilers for x86-64
 * put no data between a function's instructions, and code that only an unknown jump table reaches
 * has to be seen as well.
 */
#include "arch/code.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/insn.h"
#include "arch/jump_priv.h"
#include "arch/parts_priv.h"
#include "base/array.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "hp/err.h"

/* An indirect jump, to be judged when all parts are known. */
struct indirect {
	struct hp_insn in;
	struct hp_table table; /* that it goes through, perhaps */
};

struct walk {
	struct hp_parts p; /* f is the one below */
	struct hp_flow f;
	HP_ARRAY(hp_addr) exits;
	HP_ARRAY(struct indirect) indirect;
	hp_addr before; /* the instruction before this one, 0: none led here */
	struct hp_table_hints hints;
};

/* Is the stack at @pc as at a function's entry, so that a jump from here may be a tail call? */
static bool frame_is_gone(const struct walk *w, hp_addr pc)
{
	int64_t off;

	return hp_cfi_cfa_from_sp(w->p.cfi, pc, &off) && off == 8;
}

static int add_exit(struct walk *w, hp_addr pc)
{
	hp_addr *e = HP_ARRAY_ADD(&w->exits);

	if (!e)
		return hp_err_sys(w->p.err, ENOMEM, "exits of %s", w->p.name);
	*e = pc;
	return 0;
}

static void add_unknown(struct walk *w, hp_addr pc)
{
	if (!w->f.exits_unknown)
		w->f.unknown_at = pc;
	w->f.exits_unknown = true;
}

/* A jump to F's own first byte is a call of F in a tail's clothes only right behind an epilogue;
 * else it is a loop whose head happens to be the entry, and its registers are no arguments. */
static bool is_self_tail_call(const struct walk *w, const struct hp_insn *in)
{
	return in->flow == HP_INSN_JUMP && w->before && frame_is_gone(w, in->at) &&
	       !frame_is_gone(w, w->before);
}

static int on_branch(struct walk *w, const struct hp_insn *in)
{
	int r;

	if (in->target > w->p.at && in->target < w->p.at + HP_JUMP_LEN)
		w->f.into_head = true;
	if (in->flow == HP_INSN_CALL)
		return 0;
	if (in->target == w->p.at) {
		if (is_self_tail_call(w, in))
			return add_exit(w, in->at);
		w->f.back_to_entry = true;
		return 0;
	}
	r = hp_parts_take(&w->p, in->target);
	if (r != 0)
		return r < 0 ? r : 0;
	if (in->flow == HP_INSN_JUMP)
		return add_exit(w, in->at);
	/* a probe there would count the calls that go on as well */
	add_unknown(w, in->at);
	return 0;
}

static int on_indirect_jump(struct walk *w, const struct hp_insn *in)
{
	struct indirect *kept = HP_ARRAY_ADD(&w->indirect);

	if (!kept)
		return hp_err_sys(w->p.err, ENOMEM, "jumps of %s", w->p.name);
	*kept = (struct indirect){*in, w->hints.table};
	return 0;
}

static int judge(struct walk *w, struct hp_jumps *j, const struct hp_insn *in)
{
	enum hp_leads leads = HP_LEADS_INSIDE;
	struct hp_fde fde;
	int r = 0;

	if (in->i.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) /* what -fcf-protection makes of switch */
		return 0;
	if (frame_is_gone(w, in->at))
		r = hp_jump_leads(j, in, &leads, w->p.err);
	else if (hp_insn_rip_operand(in) || !hp_cfi_find(w->p.cfi, in->at, &fde))
		leads = HP_LEADS_UNKNOWN;
	if (r == 0 && leads == HP_LEADS_OUT)
		r = add_exit(w, in->at);
	else if (r == 0 && leads == HP_LEADS_UNKNOWN)
		add_unknown(w, in->at);
	return r;
}

static int by_address(const void *a, const void *b)
{
	const hp_addr *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int judge_all(struct walk *w)
{
	struct hp_jumps j = {.im = w->p.im, .cfi = w->p.cfi, .f = &w->f};
	size_t k;
	int r = 0;

	for (k = 0; k < w->indirect.n && r == 0; k++)
		r = judge(w, &j, &w->indirect.v[k].in);
	hp_jumps_free(&j);
	if (w->exits.n)
		qsort(w->exits.v, w->exits.n, sizeof(*w->exits.v), by_address);
	return r;
}

static int on_insn(struct walk *w, const struct hp_insn *in)
{
	int r = 0;

	switch (in->flow) {
	case HP_INSN_RET:
		r = add_exit(w, in->at);
		break;
	case HP_INSN_JUMP:
	case HP_INSN_COND:
	case HP_INSN_CALL:
		r = on_branch(w, in);
		break;
	case HP_INSN_JUMP_IND:
		r = on_indirect_jump(w, in);
		break;
	case HP_INSN_NEXT:
	case HP_INSN_CALL_IND:
	case HP_INSN_STOP:
		break;
	}
	w->before = in->flow == HP_INSN_NEXT || in->flow == HP_INSN_COND ? in->at : 0;
	return r;
}

static int walk_part(struct walk *w, struct hp_range part)
{
	struct hp_insn in = {.flow = HP_INSN_NEXT};
	hp_addr pc = part.lo;

	w->before = 0;
	w->hints = (struct hp_table_hints){0};
	while (pc < part.hi) {
		int r;

		if (!hp_insn_read(&in, w->p.im, pc, part.hi))
			return hp_parts_refuse(&w->p, pc, "cannot be decoded");
		hp_table_hint(&w->hints, &in);
		r = on_insn(w, &in);
		if (r)
			return r;
		pc = hp_insn_end(&in);
	}
	if (in.flow == HP_INSN_CALL || in.flow == HP_INSN_CALL_IND)
		w->f.ends_in_call = true;
	return 0;
}

/* Parts that only a jump table leads to. */
static int take_by_tables(struct walk *w, size_t from)
{
	int r = 0;

	for (size_t k = from; k < w->indirect.n && r == 0; k++)
		if (w->indirect.v[k].table.at)
			r = hp_parts_take_table(&w->p, &w->indirect.v[k].table);
	return r;
}

/* Walking a part may find another one, and another jump that leads to others. */
static int walk_all(struct walk *w)
{
	size_t walked = 0, tables = 0;
	int r = 0;

	while (walked < w->f.n_parts && r == 0) {
		r = walk_part(w, w->f.part[walked++]);
		if (r || walked < w->f.n_parts || tables == w->indirect.n)
			continue;
		if (tables == 0)
			r = hp_parts_take_named(&w->p);
		if (r == 0)
			r = take_by_tables(w, tables);
		tables = w->indirect.n;
	}
	return r;
}

int hp_flow_read(struct hp_flow *ret, const struct hp_image *im, const struct hp_symtab *st,
		 const struct hp_cfi *cfi, const char *name, hp_addr at, uint64_t size,
		 struct hp_err *err)
{
	struct walk w = {.p = {.im = im, .st = st, .cfi = cfi, .name = name, .at = at, .err = err}};
	struct hp_fde fde;
	int r;

	if (size == 0 && hp_cfi_find(cfi, at, &fde))
		size = fde.hi - at;
	if (size == 0 || at + size < at)
		return hp_parts_refuse(&w.p, at, "has no known end: neither symbol nor .eh_frame tells it");
	w.p.f = &w.f;
	w.f.part[0] = (struct hp_range){at, at + size};
	w.f.n_parts = 1;
	r = walk_all(&w);
	if (r == 0)
		r = judge_all(&w);
	HP_ARRAY_FREE(&w.indirect);
	if (r) {
		HP_ARRAY_FREE(&w.exits);
		return r;
	}
	w.f.exit = w.exits.v;
	w.f.n_exits = w.exits.n;
	*ret = w.f;
	return 0;
}

bool hp_flow_watchable(const struct hp_flow *f, bool patched, hp_addr *at)
{
	hp_addr where = f->unknown_at;
	bool can = !f->exits_unknown;

	for (size_t i = 0; can && patched && i < f->n_exits; i++)
		if (f->exit[i] - f->part[0].lo < HP_JUMP_LEN) {
			where = f->exit[i];
			can = false;
		}
	if (!can && at)
		*at = where;
	return can;
}

void hp_flow_free(struct hp_flow *f)
{
	free(f->exit);
	*f = (struct hp_flow){0};
}
