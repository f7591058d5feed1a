/* SPDX-License-Identifier: MIT */
/*
 * CFA is a multiple of 16 in a function that was called as the psABI says (3.2.2), so rsp at a
 * call is one as well exactly when CFA - rsp is.  Where CFI tells the CFA from rbp, CFA - rsp is
 * counted from the pushes and subtractions before the call, if they are simple; what cannot be
 * counted is taken for aligned, as nearly all code is.
 */
#include "arch/callsite_priv.h"

#include "arch/insn.h"
#include "elf/cfi.h"

static bool is_register(const ZydisDecodedOperand *op, ZydisRegister reg)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == reg;
}

static bool writes_rsp(const struct hp_insn *in)
{
	size_t k;

	for (k = 0; k < in->i.operand_count; k++)
		if (is_register(&in->op[k], ZYDIS_REGISTER_RSP) &&
		    in->op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			return true;
	return false;
}

struct depth {
	int64_t pushed; /* below the return address */
	bool has_frame; /* mov %rsp,%rbp was seen */
};

/* False when rsp is changed in a way that is not counted. */
static bool count(struct depth *d, const struct hp_insn *in)
{
	const ZydisDecodedOperand *op = in->op;

	if (in->i.mnemonic == ZYDIS_MNEMONIC_PUSH && in->i.operand_width == 64) {
		d->pushed += 8;
		return true;
	}
	if (in->i.mnemonic == ZYDIS_MNEMONIC_MOV && is_register(&op[0], ZYDIS_REGISTER_RBP) &&
	    is_register(&op[1], ZYDIS_REGISTER_RSP)) {
		d->has_frame = true;
		return true;
	}
	if (!writes_rsp(in))
		return true;
	if (!is_register(&op[0], ZYDIS_REGISTER_RSP) ||
	    op[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return false;
	if (in->i.mnemonic == ZYDIS_MNEMONIC_SUB)
		d->pushed += op[1].imm.value.s;
	else if (in->i.mnemonic == ZYDIS_MNEMONIC_ADD)
		d->pushed -= op[1].imm.value.s;
	else
		return false;
	return true;
}

/* Straight from the function's first byte to the call; calls on the way leave rsp as it is, and
 * an epilogue on the way ends the counting. */
static bool frame_is_misaligned(const struct hp_calls *c, const struct hp_body *body, hp_addr pc)
{
	struct depth d = {0};
	struct hp_insn in;
	hp_addr at = body->r.lo;

	while (at < pc && hp_insn_read(&in, c->im, at, body->r.hi)) {
		if (in.flow == HP_INSN_RET)
			return false;
		if (in.flow != HP_INSN_CALL && in.flow != HP_INSN_CALL_IND && !count(&d, &in))
			return false;
		at = hp_insn_end(&in);
	}
	return at == pc && d.has_frame && (d.pushed + 8) % 16 != 0;
}

bool hp_call_is_misaligned(const struct hp_calls *c, const struct hp_body *body, hp_addr pc)
{
	int64_t cfa;

	if (hp_cfi_cfa_from_sp(c->cfi, pc, &cfa))
		return cfa % 16 != 0;
	return !body->cold && body->r.hi && frame_is_misaligned(c, body, pc);
}
