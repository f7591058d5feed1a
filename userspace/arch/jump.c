/* SPDX-License-Identifier: MIT */
/*
 * To take a jump that stays for one that leaves would lose calls in flight, so "out" has to be
 * proven.  Two facts do it together.  No address in the middle of the function is in memory as such
 * (hp_labels_taken()): so what is loaded from memory, other than from a place of the function's own
 * stack, or came in as an argument, leads out.  And on every path to the jump its register got such
 * a value.  Tables of position-independent code hold offsets; their jumps' registers are sums.
 * The reverse mistake only makes the count too high.
 *
 * A place that no branch leads to is a case of a switch, or a landing pad; nothing is known there.
 * One that is reached by a branch and by a table too is judged by the branch alone: compilers share
 * a jump between tail calls, or between switches, but never between the two.
 */
#include "arch/jump_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/code.h"
#include "arch/insn.h"
#include "arch/regs.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "hp/err.h"

/* What reaches the jump. */
#define FOREIGN	 1u /* an address out of memory, a constant or an argument */
#define COMPUTED 2u /* a sum, or a word of a table of places in the function */
#define UNTOLD	 4u

#define WALK_STEPS 4096
#define WALK_JOINS 64

/* rcx, rdx, rsi, rdi, r8, r9 (psABI 3.2.3) */
#define ARGUMENT_REGS 0x3c6u

struct point {
	size_t step; /* before it, register reg is asked for */
	int reg;
};

struct trace {
	const struct hp_jumps *j;
	struct point todo[WALK_JOINS];
	size_t n_todo, done; /* those before done were walked from */
	unsigned steps, found;
};

void hp_jumps_free(struct hp_jumps *j)
{
	HP_ARRAY_FREE(&j->step);
}

static int by_address(const void *a, const void *b)
{
	const struct hp_step *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static struct hp_step *step_at(const struct hp_jumps *j, hp_addr a)
{
	struct hp_step key = {.at = a};

	return j->step.n ? bsearch(&key, j->step.v, j->step.n, sizeof(key), by_address) : NULL;
}

static int add_part(struct hp_jumps *j, struct hp_range part, struct hp_err *err)
{
	struct hp_insn in;
	hp_addr pc;

	for (pc = part.lo; pc < part.hi && hp_insn_read(&in, j->im, pc, part.hi);
	     pc = hp_insn_end(&in)) {
		struct hp_step *s = HP_ARRAY_ADD(&j->step);

		if (!s)
			return hp_err_sys(err, ENOMEM, "jumps of %s", j->im->name);
		*s = (struct hp_step){
			.at = pc,
			.end = hp_insn_end(&in),
			.target = in.target,
			.jumps = in.flow == HP_INSN_JUMP || in.flow == HP_INSN_COND,
			.calls = in.flow == HP_INSN_CALL || in.flow == HP_INSN_CALL_IND,
			.pads = hp_insn_is_padding(&in),
			.falls = in.flow == HP_INSN_NEXT || in.flow == HP_INSN_COND,
		};
		s->falls |= s->calls;
	}
	return 0;
}

static bool falls_to(const struct hp_jumps *j, size_t k)
{
	const struct hp_step *v = j->step.v;

	return k > 0 && v[k - 1].falls && v[k - 1].end == v[k].at;
}

/* Nobody comes through the padding that aligns a jump's target. */
static void mark_ways(struct hp_jumps *j)
{
	size_t k;

	for (k = 0; k < j->step.n; k++) {
		struct hp_step *to =
			j->step.v[k].jumps ? step_at(j, j->step.v[k].target) : NULL;

		if (to)
			to->joined = true;
	}
	for (k = 0; k < j->step.n; k++) {
		struct hp_step *s = &j->step.v[k];

		if (s->pads && !s->joined && s->at != j->f->part[0].lo && !falls_to(j, k))
			s->falls = false;
	}
}

static int read_steps(struct hp_jumps *j, struct hp_err *err)
{
	size_t k;

	if (j->step.n)
		return 0;
	for (k = 0; k < j->f->n_parts; k++) {
		int r = add_part(j, j->f->part[k], err);

		if (r)
			return r;
	}
	if (j->step.n)
		qsort(j->step.v, j->step.n, sizeof(*j->step.v), by_address);
	mark_ways(j);
	return 0;
}

/* Is the operand a table of places in the function, and no pointer? */
static bool is_table(const struct hp_jumps *j, const ZydisDecodedOperandMem *m)
{
	const uint8_t *p;
	hp_addr first = 0;
	int k;

	if (m->base != ZYDIS_REGISTER_NONE || m->index == ZYDIS_REGISTER_NONE || m->scale != 8)
		return false;
	p = hp_image_at(j->im, (uint64_t)m->disp.value, 8);
	for (k = 7; p && k >= 0; k--)
		first = first << 8 | p[k];
	return p && hp_flow_is_inside(j->f, first);
}

/* A word of the function's own stack may be a sum that was put aside. */
static unsigned from_memory(const struct hp_jumps *j, hp_addr pc, const ZydisDecodedOperand *op)
{
	int64_t off;

	if (op->size != 64 || op->mem.base == ZYDIS_REGISTER_RSP)
		return UNTOLD;
	if (op->mem.base == ZYDIS_REGISTER_RBP && !hp_cfi_cfa_from_sp(j->cfi, pc, &off))
		return UNTOLD;
	return is_table(j, &op->mem) ? COMPUTED : FOREIGN;
}

static void add_point(struct trace *t, size_t step, int reg)
{
	size_t k;

	for (k = 0; k < t->n_todo; k++)
		if (t->todo[k].step == step && t->todo[k].reg == reg)
			return;
	if (t->n_todo == WALK_JOINS)
		t->found |= UNTOLD;
	else
		t->todo[t->n_todo++] = (struct point){step, reg};
}

/* The register that a whole value is copied from, or -1. */
static int copied_from(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->size == 64
		       ? hp_reg_number(op->reg.value)
		       : -1;
}

static unsigned by_mov(struct trace *t, size_t step, const struct hp_insn *in)
{
	const ZydisDecodedOperand *src = &in->op[1];
	int reg = copied_from(src);

	if (reg >= 0 && reg < 16) {
		add_point(t, step, reg);
		return 0;
	}
	if (src->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return from_memory(t->j, in->at, src);
	/* elsewhere it is no address, and was not looked for among the labels */
	return src->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && t->j->im->ehdr.e_type == ET_EXEC
		       ? FOREIGN
		       : UNTOLD;
}

/* What instruction @step, which writes @reg, makes of it. */
static unsigned defined_by(struct trace *t, size_t step, int reg, const struct hp_insn *in)
{
	if (in->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    hp_reg_number(in->op[0].reg.value) != reg)
		return UNTOLD;
	if (in->i.meta.category == ZYDIS_CATEGORY_CMOV) {
		add_point(t, step, reg);
		return by_mov(t, step, in);
	}
	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return by_mov(t, step, in);
	case ZYDIS_MNEMONIC_LEA:
		return in->op[1].mem.base == ZYDIS_REGISTER_RIP ? FOREIGN : COMPUTED;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_MOVSXD:
		return COMPUTED;
	default:
		return UNTOLD;
	}
}

/* Goes on before @step; false when its instruction says what @reg is, or that nobody knows. */
static bool passes(struct trace *t, size_t step, int reg)
{
	const struct hp_step *s = &t->j->step.v[step];
	struct hp_insn_regs regs;
	struct hp_insn in;

	if (++t->steps > WALK_STEPS || !hp_insn_read(&in, t->j->im, s->at, s->end)) {
		t->found |= UNTOLD;
		return false;
	}
	hp_insn_regs(&regs, &in);
	if (regs.touched & HP_REG(reg)) {
		t->found |= defined_by(t, step, reg, &in);
		return false;
	}
	if (s->calls && HP_REGS_CALLER_SAVED & HP_REG(reg)) {
		t->found |= UNTOLD;
		return false;
	}
	return true;
}

/* Every jump that leads to @to. */
static void walk_jumps(struct trace *t, const struct hp_step *to, int reg)
{
	size_t k;

	for (k = 0; k < t->j->step.n; k++)
		if (t->j->step.v[k].jumps && t->j->step.v[k].target == to->at &&
		    passes(t, k, reg))
			add_point(t, k, reg);
}

/* Back along the bytes, until the value is known; other ways in are noted to be walked later. */
static void walk_back(struct trace *t, struct point p)
{
	const struct hp_step *v = t->j->step.v;
	size_t k = p.step;

	for (;;) {
		bool entry = v[k].at == t->j->f->part[0].lo;
		bool falls = falls_to(t->j, k);

		if (entry)
			t->found |= ARGUMENT_REGS & 1u << p.reg ? FOREIGN : UNTOLD;
		if (v[k].joined)
			walk_jumps(t, &v[k], p.reg);
		if (!falls && !entry && !v[k].joined)
			t->found |= UNTOLD;
		if (!falls || !passes(t, k - 1, p.reg))
			return;
		k--;
		if (v[k].joined) { /* once for all ways that lead here */
			add_point(t, k, p.reg);
			return;
		}
	}
}

static unsigned from_register(const struct hp_jumps *j, const struct hp_insn *in)
{
	const struct hp_step *s = step_at(j, in->at);
	int reg = copied_from(&in->op[0]);
	struct trace t = {.j = j};

	if (!s || reg < 0 || reg >= 16)
		return UNTOLD;
	add_point(&t, (size_t)(s - j->step.v), reg);
	while (t.done < t.n_todo && !(t.found & UNTOLD))
		walk_back(&t, t.todo[t.done++]);
	return t.found;
}

/* The linker's own pointers are to functions. */
static bool is_got(const struct hp_jumps *j, const struct hp_insn *in)
{
	static const char *const names[] = {".got", ".got.plt"};
	const ZydisDecodedOperand *op = hp_insn_rip_operand(in);
	uint64_t lo;
	size_t n, k;

	if (!op)
		return false;
	for (k = 0; k < sizeof(names) / sizeof(names[0]); k++)
		if (hp_image_section(j->im, names[k], &lo, &n) &&
		    hp_insn_end(in) + (uint64_t)op->mem.disp.value - lo < n)
			return true;
	return false;
}

static bool labels_taken(struct hp_jumps *j)
{
	if (!j->labels_looked)
		j->labels = hp_labels_taken(j->im, j->f);
	j->labels_looked = true;
	return j->labels;
}

int hp_jump_leads(struct hp_jumps *j, const struct hp_insn *in, enum hp_leads *ret,
		  struct hp_err *err)
{
	unsigned found;
	int r = read_steps(j, err);

	if (r)
		return r;
	found = in->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? from_memory(j, in->at, &in->op[0])
							    : from_register(j, in);
	if (found == COMPUTED)
		*ret = HP_LEADS_INSIDE;
	else if (found == FOREIGN && (is_got(j, in) || !labels_taken(j)))
		*ret = HP_LEADS_OUT;
	else
		*ret = HP_LEADS_UNKNOWN;
	return 0;
}
