/* SPDX-License-Identifier: MIT */
/*
 * Only what carries a value counts as a read: x^x and the like do not, and neither do the upper
 * halves that scalar SSE instructions merge into their destination, which nobody looks at.
 */
#include "arch/regs.h"

#include <stdbool.h>

int hp_reg_number(ZydisRegister reg)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (full >= ZYDIS_REGISTER_RAX && full <= ZYDIS_REGISTER_R15)
		return (int)(full - ZYDIS_REGISTER_RAX);
	if (full >= ZYDIS_REGISTER_ZMM0 && full <= ZYDIS_REGISTER_ZMM31)
		return HP_REG_VEC + (int)(full - ZYDIS_REGISTER_ZMM0);
	if (reg >= ZYDIS_REGISTER_K0 && reg <= ZYDIS_REGISTER_K7)
		return HP_REG_MASK + (int)(reg - ZYDIS_REGISTER_K0);
	if (reg >= ZYDIS_REGISTER_MM0 && reg <= ZYDIS_REGISTER_MM7)
		return HP_REG_MM + (int)(reg - ZYDIS_REGISTER_MM0);
	return -1;
}

static hp_regs bit_of(ZydisRegister reg)
{
	int n = hp_reg_number(reg);

	return n < 0 ? 0 : HP_REG(n);
}

static bool is_general(hp_regs bit)
{
	return bit < HP_REG(HP_REG_VEC);
}

static bool is_high8(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
}

static void add_read(struct hp_insn_regs *r, ZydisRegister reg, unsigned width)
{
	hp_regs b = bit_of(reg);

	if (!is_general(b) || width >= 32)
		r->read |= b;
	else if (width == 16 || is_high8(reg))
		r->read16 |= b;
	else
		r->read8 |= b;
}

/* setcc writes a byte, but it begins a new value: gcc goes on with 32 bits of which it knows that
 * only the lowest counts. */
static bool is_setcc(const struct hp_insn *in)
{
	return in->i.meta.category == ZYDIS_CATEGORY_SETCC;
}

static void add_write(struct hp_insn_regs *r, ZydisRegister reg, unsigned width, bool certain)
{
	hp_regs b = bit_of(reg);

	r->touched |= b;
	if (!certain || is_high8(reg))
		return;
	if (!is_general(b) || width >= 32) /* a 32-bit write clears the upper half */
		r->write |= b;
	else if (width == 16)
		r->write16 |= b;
	else
		r->write8 |= b;
}

/* Does the result not depend on the source, if both are one register? */
static bool is_idiom(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_PXOR:
	case ZYDIS_MNEMONIC_XORPS:
	case ZYDIS_MNEMONIC_XORPD:
	case ZYDIS_MNEMONIC_VPXOR:
	case ZYDIS_MNEMONIC_VPXORD:
	case ZYDIS_MNEMONIC_VPXORQ:
	case ZYDIS_MNEMONIC_VXORPS:
	case ZYDIS_MNEMONIC_VXORPD:
	case ZYDIS_MNEMONIC_PSUBB:
	case ZYDIS_MNEMONIC_PSUBD:
	case ZYDIS_MNEMONIC_PCMPEQB:
	case ZYDIS_MNEMONIC_PCMPEQW:
	case ZYDIS_MNEMONIC_PCMPEQD:
	case ZYDIS_MNEMONIC_PCMPGTB:
	case ZYDIS_MNEMONIC_PCMPGTD:
	case ZYDIS_MNEMONIC_VPCMPEQB:
	case ZYDIS_MNEMONIC_VPCMPEQD:
	case ZYDIS_MNEMONIC_KXORB:
	case ZYDIS_MNEMONIC_KXORW:
	case ZYDIS_MNEMONIC_KXORD:
	case ZYDIS_MNEMONIC_KXORQ:
	case ZYDIS_MNEMONIC_KXNORB:
	case ZYDIS_MNEMONIC_KXNORW:
	case ZYDIS_MNEMONIC_KXNORD:
	case ZYDIS_MNEMONIC_KXNORQ:
		return true;
	default:
		return false;
	}
}

/* The sources come last. */
static bool has_one_register(const struct hp_insn *in)
{
	size_t n = in->i.operand_count_visible;
	const ZydisDecodedOperand *a, *b;

	if (n < 2)
		return false;
	a = &in->op[n - 2];
	b = &in->op[n - 1];
	return a->type == ZYDIS_OPERAND_TYPE_REGISTER && b->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       a->reg.value == b->reg.value;
}

/* or $-1 and and $0 are how gcc -Os loads constants */
static bool is_constant_load(const struct hp_insn *in)
{
	return in->i.operand_count_visible == 2 && in->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       ((in->i.mnemonic == ZYDIS_MNEMONIC_OR && in->op[1].imm.value.s == -1) ||
		(in->i.mnemonic == ZYDIS_MNEMONIC_AND && in->op[1].imm.value.s == 0));
}

/* Scalar instructions whose destination's upper half comes from a register of no interest. */
static bool merges_upper(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_CVTSI2SD:
	case ZYDIS_MNEMONIC_CVTSI2SS:
	case ZYDIS_MNEMONIC_CVTSS2SD:
	case ZYDIS_MNEMONIC_CVTSD2SS:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTUSI2SD:
	case ZYDIS_MNEMONIC_VCVTUSI2SS:
	case ZYDIS_MNEMONIC_VCVTSS2SD:
	case ZYDIS_MNEMONIC_VCVTSD2SS:
	case ZYDIS_MNEMONIC_SQRTSD:
	case ZYDIS_MNEMONIC_SQRTSS:
	case ZYDIS_MNEMONIC_VSQRTSD:
	case ZYDIS_MNEMONIC_VSQRTSS:
	case ZYDIS_MNEMONIC_ROUNDSD:
	case ZYDIS_MNEMONIC_ROUNDSS:
	case ZYDIS_MNEMONIC_VROUNDSD:
	case ZYDIS_MNEMONIC_VROUNDSS:
	case ZYDIS_MNEMONIC_VRNDSCALESD:
	case ZYDIS_MNEMONIC_VRNDSCALESS:
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
		return true;
	default:
		return false;
	}
}

/* The operand whose upper half is merged: the destination, and the one that VEX adds. */
static bool is_merged(const struct hp_insn *in, size_t k)
{
	return k == 0 || in->op[k].encoding == ZYDIS_OPERAND_ENCODING_NDSNDD;
}

/* Does vpternlog's truth table say the same for either value of operand @k?  With such tables gcc
 * sets all bits, and inverts, and names for the rest a register that may hold nothing. */
static bool is_ignored(const struct hp_insn *in, size_t k)
{
	const ZydisDecodedOperand *op = &in->op[k];
	unsigned table, n = in->i.operand_count_visible;

	if (in->i.mnemonic != ZYDIS_MNEMONIC_VPTERNLOGD &&
	    in->i.mnemonic != ZYDIS_MNEMONIC_VPTERNLOGQ)
		return false;
	table = (unsigned)in->op[n - 1].imm.value.u;
	if (k == 0)
		return ((table >> 4 ^ table) & 0x0f) == 0;
	return op->encoding == ZYDIS_OPERAND_ENCODING_NDSNDD
		       ? ((table >> 2 ^ table) & 0x33) == 0
		       : ((table >> 1 ^ table) & 0x55) == 0;
}

/* A write on a condition, or under a mask that does not zero the rest, keeps the old value
 * otherwise, which gcc therefore has put there; but the bit scans, which only do so for a zero, are
 * used as if they always wrote. */
static bool keeps_old_value(const struct hp_insn *in)
{
	return in->i.meta.category == ZYDIS_CATEGORY_CMOV ||
	       in->i.avx.mask.mode == ZYDIS_MASK_MODE_MERGING;
}

static bool is_bit_scan(const struct hp_insn *in)
{
	return in->i.mnemonic == ZYDIS_MNEMONIC_BSF || in->i.mnemonic == ZYDIS_MNEMONIC_BSR;
}

static bool is_write_mask(const ZydisDecodedOperand *op)
{
	return op->encoding == ZYDIS_OPERAND_ENCODING_MASK;
}

static void add_register(struct hp_insn_regs *r, const struct hp_insn *in, size_t k, bool no_read)
{
	const ZydisDecodedOperand *op = &in->op[k];
	bool old = k == 0 && keeps_old_value(in);

	if (is_write_mask(op)) {
		if (op->reg.value == ZYDIS_REGISTER_K0) /* no mask */
			return;
		no_read = false;
	}
	if ((op->actions & ZYDIS_OPERAND_ACTION_MASK_READ && !no_read) || old)
		add_read(r, op->reg.value, op->size);
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		add_write(r, op->reg.value, is_setcc(in) ? 32 : op->size,
			  op->actions & ZYDIS_OPERAND_ACTION_WRITE || is_bit_scan(in));
}

void hp_insn_regs(struct hp_insn_regs *ret, const struct hp_insn *in)
{
	bool none_read = (is_idiom(in->i.mnemonic) && has_one_register(in)) || is_constant_load(in);
	bool merges = merges_upper(in->i.mnemonic);
	size_t k;

	*ret = (struct hp_insn_regs){0};
	if (in->i.mnemonic == ZYDIS_MNEMONIC_NOP) /* its operands are length only */
		return;
	for (k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			add_register(ret, in, k,
				     none_read || (merges && is_merged(in, k)) ||
					     is_ignored(in, k));
		} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			add_read(ret, op->mem.base, 64);
			add_read(ret, op->mem.index, 64);
		}
	}
}
