/* SPDX-License-Identifier: MIT */
/*
 * arch/insn.h – one x86-64 instruction, decoded by Zydis, and where it leads.  Internal to arch/.
 */
#ifndef HP_ARCH_INSN_H
#define HP_ARCH_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <Zydis/Zydis.h>

#include "base/addr.h"

struct hp_image;

#define HP_INSN_MAX 15

enum hp_insn_flow {
	HP_INSN_NEXT,	  /* goes on behind itself */
	HP_INSN_JUMP,	  /* to target */
	HP_INSN_COND,	  /* to target, or goes on (jcc, loop, jrcxz, xbegin) */
	HP_INSN_CALL,	  /* of target */
	HP_INSN_JUMP_IND, /* through a register or memory */
	HP_INSN_CALL_IND,
	HP_INSN_RET,
	HP_INSN_STOP, /* ud2, hlt, int3: nothing follows */
};

struct hp_insn {
	hp_addr at;
	size_t len;
	enum hp_insn_flow flow;
	hp_addr target; /* of JUMP, COND, CALL */
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* Decodes what lies at the first of @n bytes, for address @at; false if that is no instruction. */
bool hp_insn_decode(struct hp_insn *ret, const uint8_t *bytes, size_t n, hp_addr at);

/* The same for @at of @im, ending before @hi. */
bool hp_insn_read(struct hp_insn *ret, const struct hp_image *im, hp_addr at, hp_addr hi);

static inline hp_addr hp_insn_end(const struct hp_insn *in)
{
	return in->at + in->len;
}

/* The memory operand that is addressed from rip, or NULL. */
const ZydisDecodedOperand *hp_insn_rip_operand(const struct hp_insn *in);

/* Bytes between functions: int3, nop of any length. */
bool hp_insn_is_padding(const struct hp_insn *in);

#endif
