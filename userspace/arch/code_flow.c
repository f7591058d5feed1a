/* SPDX-License-Identifier: MIT */
/*
 * A part is decoded from its first byte to its last, not along its branches: compilers for x86-64
 * put no data between a function's instructions, and code that only an unknown jump table reaches
 * has to be seen as well.
 */
#include "arch/code.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/insn.h"
#include "arch/jump_int.h"
#include "base/array.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

struct walk {
	const struct hp_image *im;
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	const char *name;
	hp_addr at;
	struct hp_flow f;
	HP_ARRAY(hp_addr) exits;
	HP_ARRAY(struct hp_insn) indirect; /* jumps, judged when all parts are known */
	hp_addr before; /* the instruction before this one, 0: none led here */
	struct hp_err *err;
};

static bool in_parts(const struct walk *w, hp_addr a)
{
	size_t k;

	for (k = 0; k < w->f.n_parts; k++)
		if (hp_in(w->f.part[k], a))
			return true;
	return false;
}

/* Is the stack at @pc as at a function's entry, so that a jump from here may be a tail call? */
static bool frame_is_gone(const struct walk *w, hp_addr pc)
{
	int64_t off;

	return hp_cfi_cfa_from_sp(w->cfi, pc, &off) && off == 8;
}

/* Does the code in @r jump into the middle of F?  A function of its own never does. */
static bool jumps_back(const struct walk *w, struct hp_range r)
{
	struct hp_insn in;
	hp_addr pc;

	for (pc = r.lo; pc < r.hi && hp_insn_read(&in, w->im, pc, r.hi); pc = hp_insn_end(&in))
		if ((in.flow == HP_INSN_JUMP || in.flow == HP_INSN_COND) && in.target != w->at &&
		    in_parts(w, in.target))
			return true;
	return false;
}

/* The FDE of a PLT does not begin like a function's either. */
static bool is_plt_entry(const struct walk *w, hp_addr a)
{
	struct hp_insn in;

	if (!hp_insn_read(&in, w->im, a, a + HP_INSN_MAX))
		return false;
	if (in.i.mnemonic == ZYDIS_MNEMONIC_ENDBR64 &&
	    !hp_insn_read(&in, w->im, hp_insn_end(&in), hp_insn_end(&in) + HP_INSN_MAX))
		return false;
	return in.flow == HP_INSN_JUMP_IND && hp_insn_rip_operand(&in);
}

/* The part of F outside of the known ones that holds @target, where F jumps to. */
static bool find_part(const struct walk *w, hp_addr target, struct hp_range *ret)
{
	const struct hp_sym *sym = hp_symtab_func_at(w->st, target);
	struct hp_fde fde;

	if (sym && sym->size) {
		*ret = (struct hp_range){sym->value, sym->value + sym->size};
		return strstr(sym->name, ".cold") != NULL;
	}
	if (is_plt_entry(w, target) || !hp_cfi_find(w->cfi, target, &fde))
		return false;
	*ret = (struct hp_range){fde.lo, fde.hi};
	if (hp_in(*ret, w->at)) { /* the symbol's size was short of the function */
		ret->lo = w->f.part[0].hi;
		return hp_in(*ret, target);
	}
	return !fde.entry_frame || jumps_back(w, *ret);
}

static int refuse(const struct walk *w, hp_addr pc, const char *why)
{
	return hp_err_set(w->err, -HP_E_ENTRY, "function %s in %s: the code at +0x%lx (0x%lx) %s",
			  w->name, w->im->name, (unsigned long)(pc - w->at), (unsigned long)pc,
			  why);
}

/* 1: @target belongs to F, 0: it does not */
static int belongs(struct walk *w, hp_addr target)
{
	struct hp_range r;

	if (in_parts(w, target))
		return 1;
	if (!find_part(w, target, &r))
		return 0;
	if (w->f.n_parts == HP_PARTS_MAX)
		return refuse(w, target, "is one part too many");
	w->f.part[w->f.n_parts++] = r;
	return 1;
}

#define NAMES_MAX 16

/* A cold part may be reached through a jump table only; then nothing but its name tells it.  One
 * of a namesake in another file may be taken along: that can only make the look see too much. */
static int add_named_cold(struct walk *w, const char *name)
{
	const struct hp_sym *cold[NAMES_MAX];
	char prefix[512];
	size_t n, k;

	if ((size_t)snprintf(prefix, sizeof(prefix), "%s.cold", name) >= sizeof(prefix))
		return refuse(w, w->at, "has a name too long to tell its cold parts by");
	n = hp_symtab_prefix(w->st, prefix, cold, NAMES_MAX);
	if (n > NAMES_MAX)
		return refuse(w, w->at, "may have too many cold parts");
	for (k = 0; k < n; k++) {
		char end = cold[k]->name[strlen(prefix)];
		int r = 0;

		if (cold[k]->type == STT_FUNC && cold[k]->size && (end == '\0' || end == '.'))
			r = belongs(w, cold[k]->value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_all_named_cold(struct walk *w)
{
	const struct hp_sym *alias[NAMES_MAX];
	size_t n = hp_symtab_aliases(w->st, w->at, alias, NAMES_MAX), k;
	int r = 0;

	for (k = 0; k < n && k < NAMES_MAX && r == 0; k++)
		r = add_named_cold(w, alias[k]->name);
	return r;
}

static int add_exit(struct walk *w, hp_addr pc)
{
	hp_addr *e = HP_ARRAY_ADD(&w->exits);

	if (!e)
		return hp_err_sys(w->err, ENOMEM, "exits of %s", w->name);
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

	if (in->target > w->at && in->target < w->at + HP_JUMP_LEN)
		w->f.into_head = true;
	if (in->flow == HP_INSN_CALL)
		return 0;
	if (in->target == w->at) {
		if (is_self_tail_call(w, in))
			return add_exit(w, in->at);
		w->f.back_to_entry = true;
		return 0;
	}
	r = belongs(w, in->target);
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
	struct hp_insn *kept = HP_ARRAY_ADD(&w->indirect);

	if (!kept)
		return hp_err_sys(w->err, ENOMEM, "jumps of %s", w->name);
	*kept = *in;
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
		r = hp_jump_leads(j, in, &leads, w->err);
	else if (hp_insn_rip_operand(in) || !hp_cfi_find(w->cfi, in->at, &fde))
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
	struct hp_jumps j = {.im = w->im, .cfi = w->cfi, .f = &w->f};
	size_t k;
	int r = 0;

	for (k = 0; k < w->indirect.n && r == 0; k++)
		r = judge(w, &j, &w->indirect.v[k]);
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
	while (pc < part.hi) {
		int r;

		if (!hp_insn_read(&in, w->im, pc, part.hi))
			return refuse(w, pc, "cannot be decoded");
		r = on_insn(w, &in);
		if (r)
			return r;
		pc = hp_insn_end(&in);
	}
	if (in.flow == HP_INSN_CALL || in.flow == HP_INSN_CALL_IND)
		w->f.ends_in_call = true;
	return 0;
}

/* Walking a part may find another one. */
static int walk_parts(struct walk *w, size_t from)
{
	size_t k;

	for (k = from; k < w->f.n_parts; k++) {
		int r = walk_part(w, w->f.part[k]);

		if (r)
			return r;
	}
	return 0;
}

static int walk_all(struct walk *w)
{
	int r = walk_parts(w, 0);
	size_t n = w->f.n_parts;

	if (r || w->indirect.n == 0)
		return r;
	r = add_all_named_cold(w);
	return r ? r : walk_parts(w, n);
}

int hp_flow_read(struct hp_flow *ret, const struct hp_image *im, const struct hp_symtab *st,
		 const struct hp_cfi *cfi, const char *name, hp_addr at, uint64_t size,
		 struct hp_err *err)
{
	struct walk w = {.im = im, .st = st, .cfi = cfi, .name = name, .at = at, .err = err};
	struct hp_fde fde;
	int r;

	if (size == 0 && hp_cfi_find(cfi, at, &fde))
		size = fde.hi - at;
	if (size == 0 || at + size < at)
		return refuse(&w, at, "has no known end: neither symbol nor .eh_frame tells it");
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
