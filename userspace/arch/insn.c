/* SPDX-License-Identifier: MIT */
#include "arch/insn.h"

#include "elf/image.h"

static bool is_relative_branch(const struct hp_insn *in)
{
	const ZydisDecodedOperand *op = &in->op[0];

	return in->i.operand_count_visible == 1 && op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       op->imm.is_relative;
}

static enum hp_insn_flow flow_of(const struct hp_insn *in)
{
	bool rel = is_relative_branch(in);

	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
		return rel ? HP_INSN_JUMP : HP_INSN_JUMP_IND;
	case ZYDIS_CATEGORY_COND_BR:
		return rel ? HP_INSN_COND : HP_INSN_NEXT;
	case ZYDIS_CATEGORY_CALL:
		return rel ? HP_INSN_CALL : HP_INSN_CALL_IND;
	case ZYDIS_CATEGORY_RET:
		return HP_INSN_RET;
	default:
		break;
	}
	switch (in->i.mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
		return HP_INSN_STOP;
	default:
		return rel ? HP_INSN_COND : HP_INSN_NEXT;
	}
}

bool hp_insn_decode(struct hp_insn *ret, const uint8_t *bytes, size_t n, hp_addr at)
{
	ZydisDecoder d;

	if (!ZYAN_SUCCESS(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, bytes, n, &ret->i, ret->op)))
		return false;
	ret->at = at;
	ret->len = ret->i.length;
	ret->flow = flow_of(ret);
	ret->target = 0;
	if (ret->flow == HP_INSN_JUMP || ret->flow == HP_INSN_COND || ret->flow == HP_INSN_CALL)
		ret->target = at + ret->len + (uint64_t)ret->op[0].imm.value.s;
	return true;
}

bool hp_insn_read(struct hp_insn *ret, const struct hp_image *im, hp_addr at, hp_addr hi)
{
	size_t n = hp_image_left(im, at);
	const uint8_t *p;

	if (at >= hi || n == 0)
		return false;
	if (n > hi - at)
		n = hi - at;
	if (n > HP_INSN_MAX)
		n = HP_INSN_MAX;
	p = hp_image_at(im, at, n);
	return p && hp_insn_decode(ret, p, n, at);
}

const ZydisDecodedOperand *hp_insn_rip_operand(const struct hp_insn *in)
{
	size_t k;

	for (k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP))
			return op;
	}
	return NULL;
}

bool hp_insn_is_padding(const struct hp_insn *in)
{
	return in->i.mnemonic == ZYDIS_MNEMONIC_INT3 || in->i.mnemonic == ZYDIS_MNEMONIC_NOP;
}
