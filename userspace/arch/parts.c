/* SPDX-License-Identifier: MIT */
/*
 * A compiler puts what is seldom run elsewhere: F.cold.  Where symbols are stripped, as in most
 * packages, only the FDE of such a part is left.  It tells by its first row, when F has a frame; by
 * a jump back into F; or by that nobody else calls or jumps to it.  The last may be true of a
 * function that only F calls, at its end: taken along it can only make the look see too much.
 */
#include "arch/parts_priv.h"

#include <stdio.h>
#include <string.h>

#include "arch/callsite_priv.h"
#include "arch/code.h"
#include "arch/insn.h"
#include "arch/regs.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

#define NAMES_MAX 16
#define TABLE_MAX 4096 /* entries */
#define HINT_AGE  10   /* a comparison so far before belongs to something else */

int hp_parts_refuse(const struct hp_parts *p, hp_addr pc, const char *why)
{
	return hp_err_set(p->err, -HP_E_ENTRY,
			  "function %s in %s: the code at +0x%lx (0x%lx) %s", p->name, p->im->name,
			  (unsigned long)(pc - p->at), (unsigned long)pc, why);
}

static bool parts_have(const struct hp_parts *p, hp_addr a)
{
	size_t k;

	for (k = 0; k < p->f->n_parts; k++)
		if (hp_in(p->f->part[k], a))
			return true;
	return false;
}

/* Does the code in @r jump into the middle of F?  A function of its own never does. */
static bool jumps_back(const struct hp_parts *p, struct hp_range r)
{
	struct hp_insn in;
	hp_addr pc;

	for (pc = r.lo; pc < r.hi && hp_insn_read(&in, p->im, pc, r.hi); pc = hp_insn_end(&in))
		if ((in.flow == HP_INSN_JUMP || in.flow == HP_INSN_COND) && in.target != p->at &&
		    parts_have(p, in.target))
			return true;
	return false;
}

/* The FDE of a PLT does not begin like a function's either. */
static bool is_plt_entry(const struct hp_parts *p, hp_addr a)
{
	struct hp_insn in;

	if (!hp_insn_read(&in, p->im, a, a + HP_INSN_MAX))
		return false;
	if (in.i.mnemonic == ZYDIS_MNEMONIC_ENDBR64 &&
	    !hp_insn_read(&in, p->im, hp_insn_end(&in), hp_insn_end(&in) + HP_INSN_MAX))
		return false;
	return in.flow == HP_INSN_JUMP_IND && hp_insn_rip_operand(&in);
}

/* Does all that leads to @r lie in F, and is it no call?  1, 0, or -ENOMEM. */
static int is_ours_alone(const struct hp_parts *p, struct hp_range r)
{
	struct hp_calls calls = {.im = p->im, .st = p->st, .cfi = p->cfi};
	struct hp_refs refs;
	bool alone = true;
	int e = hp_refs_find(&refs, &calls, r, p->err);

	if (e)
		return e;
	for (size_t i = 0; i < refs.n; i++)
		alone &= !refs.v[i].call && parts_have(p, refs.v[i].at);
	HP_ARRAY_FREE(&refs);
	return alone;
}

/* The part of F outside of the known ones that holds @target, where F goes to. */
static int find(const struct hp_parts *p, hp_addr target, bool surely, struct hp_range *ret)
{
	const struct hp_sym *sym = hp_symtab_func_at(p->st, target);
	struct hp_fde fde;

	if (sym && sym->size) {
		*ret = (struct hp_range){sym->value, sym->value + sym->size};
		return strstr(sym->name, ".cold") != NULL;
	}
	if (is_plt_entry(p, target) || !hp_cfi_find(p->cfi, target, &fde))
		return 0;
	*ret = (struct hp_range){fde.lo, fde.hi};
	if (hp_in(*ret, p->at)) { /* the symbol's size was short of the function */
		ret->lo = p->f->part[0].hi;
		return hp_in(*ret, target);
	}
	if (!hp_cfi_is_entry(p->cfi, &fde) || jumps_back(p, *ret))
		return 1;
	return surely ? is_ours_alone(p, *ret) : 0;
}

/* @surely: F goes there; else it is what may be an entry of a table. */
static int take(struct hp_parts *p, hp_addr target, bool surely)
{
	struct hp_range r;
	int found;

	if (parts_have(p, target))
		return 1;
	found = find(p, target, surely, &r);
	if (found <= 0)
		return found;
	if (p->f->n_parts == HP_PARTS_MAX)
		return hp_parts_refuse(p, target, "is one part too many");
	p->f->part[p->f->n_parts++] = r;
	return 1;
}

int hp_parts_take(struct hp_parts *p, hp_addr target)
{
	return take(p, target, true);
}

/* One of a namesake in another file may be taken along: that can only make the look see too much. */
static int take_named(struct hp_parts *p, const char *name)
{
	const struct hp_sym *cold[NAMES_MAX];
	char prefix[512];
	size_t n, k;

	if ((size_t)snprintf(prefix, sizeof(prefix), "%s.cold", name) >= sizeof(prefix))
		return hp_parts_refuse(p, p->at, "has a name too long to tell its cold parts by");
	n = hp_symtab_prefix(p->st, prefix, cold, NAMES_MAX);
	if (n > NAMES_MAX)
		return hp_parts_refuse(p, p->at, "may have too many cold parts");
	for (k = 0; k < n; k++) {
		char end = cold[k]->name[strlen(prefix)];
		int r = 0;

		if (cold[k]->type == STT_FUNC && cold[k]->size && (end == '\0' || end == '.'))
			r = take(p, cold[k]->value, false);
		if (r < 0)
			return r;
	}
	return 0;
}

int hp_parts_take_named(struct hp_parts *p)
{
	const struct hp_sym *alias[NAMES_MAX];
	size_t n = hp_symtab_aliases(p->st, p->at, alias, NAMES_MAX), k;
	int r = 0;

	for (k = 0; k < n && k < NAMES_MAX && r == 0; k++)
		r = take_named(p, alias[k]->name);
	return r;
}

/* Where entry @k leads; false when that is no code. */
static bool entry_of(const struct hp_parts *p, const struct hp_table *t, uint64_t k, hp_addr *ret)
{
	size_t size = t->words ? sizeof(uint64_t) : sizeof(int32_t);
	const uint8_t *bytes = hp_image_at(p->im, t->at + k * size, size);
	const Elf64_Phdr *ph;
	int32_t distance;

	if (!bytes)
		return false;
	if (t->words) {
		memcpy(ret, bytes, sizeof(*ret));
	} else {
		memcpy(&distance, bytes, sizeof(distance));
		*ret = t->at + (uint64_t)(int64_t)distance;
	}
	ph = hp_image_segment(p->im, *ret);
	return ph && (ph->p_flags & PF_X);
}

/* A table has entries for F itself.  One whose length is not known ends where something else
 * begins. */
int hp_parts_take_table(struct hp_parts *p, const struct hp_table *t)
{
	uint64_t n = t->n && t->n < TABLE_MAX ? t->n : TABLE_MAX, k;
	bool is_table = false;
	hp_addr to;
	int r = 1;

	for (k = 0; k < n && !is_table && entry_of(p, t, k, &to); k++)
		is_table = parts_have(p, to);
	for (k = 0; k < n && is_table && r > 0 && entry_of(p, t, k, &to); k++)
		r = take(p, to, t->n != 0);
	return r < 0 ? r : 0;
}

static bool is_index(const ZydisDecodedOperandMem *m, int scale)
{
	return m->index != ZYDIS_REGISTER_NONE && m->scale == scale;
}

/* lea table(%rip),%rdx; movslq (%rdx,%rax,4),%rax; or a table of words that is named itself */
static void hint_of_operand(struct hp_table_hints *h, const struct hp_insn *in,
			    const ZydisDecodedOperand *op)
{
	const ZydisDecodedOperandMem *m = &op->mem;
	int base = hp_reg_number(m->base);

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return;
	if (in->i.mnemonic == ZYDIS_MNEMONIC_MOVSXD && is_index(m, 4) && base >= 0 && base < 16)
		h->table = (struct hp_table){.at = h->reg[base]};
	else if (m->base == ZYDIS_REGISTER_NONE && is_index(m, 8))
		h->table = (struct hp_table){.at = (hp_addr)m->disp.value, .words = true};
	else
		return;
	h->table.n = h->age < HINT_AGE ? h->bound : 0;
}

void hp_table_hint(struct hp_table_hints *h, const struct hp_insn *in)
{
	const ZydisDecodedOperand *rip = hp_insn_rip_operand(in);
	int reg = hp_reg_number(in->op[0].reg.value);

	h->age++;
	for (unsigned i = 0; i < in->i.operand_count_visible; i++)
		hint_of_operand(h, in, &in->op[i]);
	if (in->i.mnemonic == ZYDIS_MNEMONIC_CMP &&
	    in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		h->bound = in->op[1].imm.value.u + 1;
		h->age = 0;
	}
	if (in->i.mnemonic == ZYDIS_MNEMONIC_LEA && rip && reg >= 0 && reg < 16)
		h->reg[reg] = hp_insn_end(in) + (uint64_t)rip->mem.disp.value;
}
