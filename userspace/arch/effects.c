/* SPDX-License-Identifier: MIT */
/*
 * What one function does by itself is kept; what it does with all that it calls is the union over
 * everything that can be reached from it, found anew for each question: so cycles need no care.
 */
#include "arch/callsite_priv.h"

#include <errno.h>
#include <string.h>

#include "arch/code.h"
#include "arch/regs.h"
#include "elf/cfi.h"
#include "elf/symtab.h"
#include "hp/err.h"

/* A function that reaches more than this is taken for one that calls the unknown, as nearly all
 * that have so much below them do. */
#define REACH_MAX 512

bool hp_body_find(const struct hp_calls *c, hp_addr pc, struct hp_body *ret)
{
	const struct hp_sym *sym = hp_symtab_func_at(c->st, pc);
	struct hp_fde fde;

	if (sym && sym->size) {
		*ret = (struct hp_body){{sym->value, sym->value + sym->size}, sym->name, false};
		ret->cold = strstr(sym->name, ".cold") != NULL;
		return true;
	}
	if (!hp_cfi_find(c->cfi, pc, &fde))
		return false;
	*ret = (struct hp_body){{fde.lo, fde.hi}, NULL, !hp_cfi_is_entry(c->cfi, &fde)};
	return true;
}

static bool in_parts(const struct hp_flow *f, hp_addr a)
{
	size_t k;

	for (k = 0; k < f->n_parts; k++)
		if (hp_in(f->part[k], a))
			return true;
	return false;
}

static int add_address(struct hp_addrs *a, hp_addr v, struct hp_err *err)
{
	hp_addr *p;
	size_t k;

	for (k = 0; k < a->n; k++)
		if (a->v[k] == v)
			return 0;
	p = HP_ARRAY_ADD(a);
	if (!p)
		return hp_err_sys(err, ENOMEM, "call-site analysis");
	*p = v;
	return 0;
}

static bool is_exit(const struct hp_flow *f, hp_addr at)
{
	size_t k;

	for (k = 0; k < f->n_exits; k++)
		if (f->exit[k] == at)
			return true;
	return false;
}

static int add_insn(struct hp_own *o, const struct hp_flow *f, const struct hp_insn *in,
		    struct hp_err *err)
{
	struct hp_insn_regs regs;

	hp_insn_regs(&regs, in);
	o->clobbers |= regs.touched;
	switch (in->flow) {
	case HP_INSN_CALL_IND:
		o->unknown = true;
		return 0;
	case HP_INSN_JUMP_IND:
		o->unknown |= f->exits_unknown || is_exit(f, in->at);
		return 0;
	case HP_INSN_CALL:
	case HP_INSN_JUMP:
	case HP_INSN_COND:
		return in_parts(f, in->target) ? 0 : add_address(&o->callees, in->target, err);
	default:
		return 0;
	}
}

static int add_part(struct hp_own *o, const struct hp_calls *c, const struct hp_flow *f,
		    struct hp_range part, struct hp_err *err)
{
	struct hp_insn in;
	hp_addr pc;

	for (pc = part.lo; pc < part.hi && !o->unknown; pc = hp_insn_end(&in)) {
		int r;

		if (!hp_insn_read(&in, c->im, pc, part.hi)) {
			o->unknown = true;
			return 0;
		}
		r = add_insn(o, f, &in, err);
		if (r)
			return r;
	}
	return 0;
}

static int read_own(struct hp_own *o, const struct hp_calls *c, struct hp_err *err)
{
	struct hp_body b;
	struct hp_flow f;
	size_t k;
	int r = 0;

	o->unknown = o->returns = true;
	/* a call into the middle of something is a trick of assembler code */
	if (!hp_body_find(c, o->at, &b) || (b.r.lo != o->at && !b.cold))
		return 0;
	if (hp_flow_read(&f, c->im, c->st, c->cfi, b.name ? b.name : "", b.r.lo, b.r.hi - b.r.lo,
			 NULL))
		return 0;
	o->unknown = false;
	o->returns = f.n_exits > 0 || f.exits_unknown;
	for (k = 0; k < f.n_parts && r == 0; k++)
		r = add_part(o, c, &f, f.part[k], err);
	hp_flow_free(&f);
	return r;
}

/* What @at does by itself.  The pointer is good until the next call. */
static int find_own(struct hp_calls *c, hp_addr at, const struct hp_own **ret, struct hp_err *err)
{
	struct hp_own o = {.at = at}, *kept;
	size_t k;
	int r;

	for (k = 0; k < c->own.n; k++)
		if (c->own.v[k].at == at) {
			*ret = &c->own.v[k];
			return 0;
		}
	r = read_own(&o, c, err);
	kept = r ? NULL : HP_ARRAY_ADD(&c->own);
	if (!kept) {
		HP_ARRAY_FREE(&o.callees);
		return r ? r : hp_err_sys(err, ENOMEM, "call-site analysis");
	}
	*kept = o;
	*ret = kept;
	return 0;
}

static int reach(struct hp_calls *c, struct hp_addrs *seen, struct hp_effects *e,
		 struct hp_err *err)
{
	size_t k, i;

	for (k = 0; k < seen->n && !e->unknown; k++) {
		const struct hp_own *o = NULL;
		int r = find_own(c, seen->v[k], &o, err);

		if (r)
			return r;
		if (k == 0)
			e->returns = o->returns;
		e->clobbers |= o->clobbers;
		e->unknown |= o->unknown || seen->n > REACH_MAX;
		for (i = 0; i < o->callees.n && r == 0; i++)
			r = add_address(seen, o->callees.v[i], err);
		if (r)
			return r;
	}
	return 0;
}

int hp_effects_find(struct hp_calls *c, hp_addr at, struct hp_effects *ret, struct hp_err *err)
{
	struct hp_effects e = {0};
	struct hp_addrs seen = {0};
	int r = add_address(&seen, at, err);

	if (r == 0)
		r = reach(c, &seen, &e, err);
	HP_ARRAY_FREE(&seen);
	if (r)
		return r;
	if (e.unknown)
		e.clobbers = HP_REGS_CALLER_SAVED;
	*ret = e;
	return 0;
}

void hp_calls_free(struct hp_calls *c)
{
	size_t k;

	for (k = 0; k < c->own.n; k++)
		HP_ARRAY_FREE(&c->own.v[k].callees);
	HP_ARRAY_FREE(&c->own);
}
