/* SPDX-License-Identifier: MIT */
/*
 * arch/regset.h – registers as bits: all that compilers keep values in.
 *
 * Bit n: general register n in encoding order (rax 0, rcx 1, rdx 2, rbx 3, rsp 4, … r15 15);
 * HP_REG_VEC+n: vector register n, by whichever of xmm, ymm and zmm; then k0-7 and mm0-7.
 */
#ifndef HP_ARCH_REGSET_H
#define HP_ARCH_REGSET_H

#include <stdint.h>

typedef uint64_t hp_regs;

enum {
	HP_REG_VEC = 16,
	HP_REG_MASK = HP_REG_VEC + 32,
	HP_REG_MM = HP_REG_MASK + 8,
	HP_REGS = HP_REG_MM + 8,
};

#define HP_REG(n) ((hp_regs)1 << (n))

/* All but rbx, rsp, rbp, r12-15: what a call may change (psABI 3.2.1) */
#define HP_REGS_CALLER_SAVED (~(hp_regs)0xf038)

#endif
