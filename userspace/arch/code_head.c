/* SPDX-License-Identifier: MIT */
/*
 * The entry may be changed in ways that need different things: a pun needs the four bytes behind
 * the first as they are, a jump needs whole instructions that cover five bytes.  So a head is read
 * for what is there, and only what no method can use is refused.
 */
#include "arch/code.h"

#include <string.h>

#include "arch/insn.h"
#include "elf/image.h"
#include "hp/err.h"

/* Whole instructions from the head's first byte that cover HP_JUMP_LEN bytes; behind the end of
 * the function only padding may be overwritten. */
static size_t covering_len(const struct hp_head *h, size_t n, uint64_t size)
{
	size_t off = 0;

	while (off < HP_JUMP_LEN) {
		struct hp_insn in;

		if (!hp_insn_decode(&in, h->bytes + off, n - off, h->at + off))
			return 0;
		if (size && off >= size && !hp_insn_is_padding(&in))
			return 0;
		off += in.len;
	}
	return off;
}

static hp_addr punned_target(const struct hp_head *h)
{
	int32_t rel;

	memcpy(&rel, h->bytes + 1, sizeof(rel));
	return h->at + HP_JUMP_LEN + (uint64_t)(int64_t)rel;
}

int hp_head_read(struct hp_head *ret, const struct hp_image *im, const char *name, hp_addr at,
		 uint64_t size, struct hp_err *err)
{
	static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
	size_t n = hp_image_left(im, at);
	struct hp_head h = {.at = at};
	struct hp_insn in;
	const uint8_t *p;

	if (n > HP_HEAD_MAX)
		n = HP_HEAD_MAX;
	p = n < HP_JUMP_LEN ? NULL : hp_image_at(im, at, n);
	if (!p)
		return hp_err_set(err, -HP_E_ENTRY,
				  "function %s in %s: fewer than %d bytes of code at 0x%lx", name,
				  im->name, HP_JUMP_LEN, (unsigned long)at);
	memcpy(h.bytes, p, n);
	if (!hp_insn_decode(&in, h.bytes, n, at) || (size && in.len > size))
		return hp_err_set(err, -HP_E_ENTRY,
				  "function %s in %s: the code at its entry 0x%lx cannot be decoded",
				  name, im->name, (unsigned long)at);
	if (in.i.mnemonic == ZYDIS_MNEMONIC_INT3)
		return hp_err_set(err, -HP_E_ENTRY,
				  "function %s in %s: the file has a breakpoint at its entry",
				  name, im->name);
	h.first_len = in.len;
	h.jump_len = covering_len(&h, n, size);
	h.first_is_nop5 = memcmp(h.bytes, nop5, sizeof(nop5)) == 0;
	h.pun = punned_target(&h);
	*ret = h;
	return 0;
}

/* Instructions of a prologue before it is taken for one without an `and`. */
#define PROLOGUE_MAX 24

static bool is_realignment(const struct hp_insn *in)
{
	return in->i.mnemonic == ZYDIS_MNEMONIC_AND &&
	       in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       in->op[0].reg.value == ZYDIS_REGISTER_RSP &&
	       in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (in->op[1].imm.value.s & 15) == 0;
}

bool hp_code_realigns(const struct hp_image *im, hp_addr at, uint64_t size)
{
	hp_addr pc = at, hi = at + (size ? size : HP_INSN_MAX * PROLOGUE_MAX);
	struct hp_insn in;
	int k;

	for (k = 0; k < PROLOGUE_MAX && hp_insn_read(&in, im, pc, hi); k++) {
		if (is_realignment(&in))
			return true;
		if (in.flow != HP_INSN_NEXT)
			return false;
		pc = hp_insn_end(&in);
	}
	return false;
}
