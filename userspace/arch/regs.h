/* SPDX-License-Identifier: MIT */
/*
 * arch/regs.h – what an instruction does to registers, as bit masks.  Internal to arch/.
 *
 * Bit n: general register n in encoding order (rax 0, rcx 1, rdx 2, rbx 3, rsp 4, … r15 15);
 * bit 16+n: xmm n.
 */
#ifndef HP_ARCH_REGS_H
#define HP_ARCH_REGS_H

#include <stdint.h>

#include "arch/insn.h"

/* rax, rcx, rdx, rsi, rdi, r8-r11, xmm0-15: what a call may change (psABI 3.2.1) */
#define HP_REGS_CALLER_SAVED 0xffff0fc7u
/* By width: the lowest 8, 16 bits, or (32 bits and more) the whole. */
struct hp_insn_regs {
	uint32_t read8, read16, read;
	uint32_t write8, write16, write; /* certainly written */
	uint32_t touched;		 /* written in any way, also on a condition */
};

void hp_insn_regs(struct hp_insn_regs *ret, const struct hp_insn *in);

/* The number of @reg's bit, or -1. */
int hp_reg_number(ZydisRegister reg);

#endif
