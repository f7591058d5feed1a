/* SPDX-License-Identifier: MIT */
/*
 * An address in the middle of a function is in memory only if the linker put it there: as a word
 * (position-dependent programs, RELR), as a relocation's addend, or as a constant in the function's
 * own code, for nothing else can name a label.  Whatever does not look like one is none: a number
 * that happens to be equal makes the answer "taken", which is the careful one.
 *
 * It is one question to whoever reads the file: all of its data and relocations are looked through.
 */
#include "arch/jump_priv.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "arch/code.h"
#include "arch/insn.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

bool hp_flow_is_inside(const struct hp_flow *f, hp_addr a)
{
	size_t k;

	if (a == f->part[0].lo)
		return false;
	for (k = 0; k < f->n_parts; k++)
		if (hp_in(f->part[k], a))
			return true;
	return false;
}

static bool operand_names_one(const struct hp_insn *in, const ZydisDecodedOperand *op,
			      const struct hp_flow *f, bool fixed)
{
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return fixed && !op->imm.is_relative && hp_flow_is_inside(f, op->imm.value.u);
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || !op->mem.disp.has_displacement)
		return false;
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		return hp_flow_is_inside(f, hp_insn_end(in) + (uint64_t)op->mem.disp.value);
	return fixed && hp_flow_is_inside(f, (uint64_t)op->mem.disp.value);
}

static bool code_names_one(const struct hp_image *im, const struct hp_flow *f)
{
	bool fixed = im->ehdr.e_type == ET_EXEC;
	struct hp_insn in;
	size_t k, o;

	for (k = 0; k < f->n_parts; k++) {
		hp_addr pc = f->part[k].lo;

		for (; pc < f->part[k].hi; pc = hp_insn_end(&in)) {
			if (!hp_insn_read(&in, im, pc, f->part[k].hi))
				return true;
			for (o = 0; o < in.i.operand_count_visible; o++)
				if (operand_names_one(&in, &in.op[o], f, fixed))
					return true;
		}
	}
	return false;
}

static bool relocation_names_one(const struct hp_image *im, const struct hp_flow *f, int64_t tag,
				 int64_t size_tag)
{
	uint64_t table, n, syms = 0, i;

	if (!hp_image_dynamic(im, tag, &table) || !hp_image_dynamic(im, size_tag, &n))
		return false;
	if (n > hp_image_left(im, table))
		return true;
	(void)hp_image_dynamic(im, DT_SYMTAB, &syms); /* 0 is found to be no place below */
	for (i = 0; i + sizeof(Elf64_Rela) <= n; i += sizeof(Elf64_Rela)) {
		const uint8_t *p = hp_image_at(im, table + i, sizeof(Elf64_Rela));
		Elf64_Sym sym = {0};
		Elf64_Rela rela;

		if (!p)
			return true;
		memcpy(&rela, p, sizeof(rela));
		if (ELF64_R_SYM(rela.r_info)) {
			p = hp_image_at(im, syms + ELF64_R_SYM(rela.r_info) * sizeof(sym),
					sizeof(sym));
			if (!p)
				return true;
			memcpy(&sym, p, sizeof(sym));
		}
		if (hp_flow_is_inside(f, sym.st_value + (uint64_t)rela.r_addend))
			return true;
	}
	return false;
}

/* Linkers align what they relocate, all but in packed structures of old. */
static bool word_names_one(const struct hp_image *im, const struct hp_flow *f)
{
	size_t k;

	for (k = 0; k < im->n_phdrs; k++) {
		const Elf64_Phdr *p = &im->phdr[k];
		const uint8_t *bytes = hp_image_at(im, p->p_vaddr, p->p_filesz);
		uint64_t word, i;

		if (p->p_type != PT_LOAD || p->p_filesz == 0)
			continue;
		if (!bytes)
			return true;
		for (i = -p->p_vaddr % 8; i + 8 <= p->p_filesz; i += 8) {
			memcpy(&word, bytes + i, sizeof(word));
			if (hp_flow_is_inside(f, word))
				return true;
		}
	}
	return false;
}

static bool is_taken(const struct hp_image *im, const struct hp_flow *f)
{
	uint64_t relr;

	if (code_names_one(im, f) || relocation_names_one(im, f, DT_RELA, DT_RELASZ) ||
	    relocation_names_one(im, f, DT_JMPREL, DT_PLTRELSZ))
		return true;
	if (im->ehdr.e_type != ET_EXEC && !hp_image_dynamic(im, DT_RELR, &relr))
		return false;
	return word_names_one(im, f);
}

/* In the reader; the question's bytes are the function's parts. */
static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct hp_flow f = {.n_parts = q->n_bytes / sizeof(f.part[0])};
	uint32_t *taken = hp_reply_add(reply);

	if (!taken)
		return hp_err_sys(err, ENOMEM, "%s: its labels", q->im->name);
	memcpy(f.part, q->bytes, q->n_bytes);
	*taken = is_taken(q->im, &f);
	return 0;
}

static const struct hp_verb verb = {
	.what = "labels",
	.record_size = sizeof(uint32_t),
	.max_records = 1,
	.answer = answer,
};

bool hp_labels_taken(const struct hp_image *im, const struct hp_flow *f)
{
	const struct hp_question q = {.verb = &verb,
				      .im = im,
				      .bytes = f->part,
				      .n_bytes = f->n_parts * sizeof(f->part[0])};
	struct hp_reader *reader = hp_reader_of(im);
	bool taken = true;
	struct hp_told a;

	/* Without an answer the careful one; a reader that is no more says so to the next question. */
	if (hp_reader_ask(reader, &q, &a, NULL) < 0)
		return true;
	if (a.n == 1 && *(const uint32_t *)a.record <= 1)
		taken = *(const uint32_t *)a.record;
	else
		(void)hp_reader_distrust(reader, &verb, NULL, "neither yes nor no");
	hp_told_free(&a);
	return taken;
}
