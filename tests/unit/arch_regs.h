/* SPDX-License-Identifier: MIT */
/* tests/unit/arch_regs.h – all registers that a function may find, filled and compared. */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#include <stdint.h>

/* rax … r15 in encoding order (rsp is not loaded), then xmm0-15 */
struct regs {
	uint64_t gpr[16];
	uint8_t xmm[16][16];
};
struct regs regs_in, regs_out;

#define REGS_GPR(op, a)                                                                            \
	op(rax, 0, a) op(rcx, 1, a) op(rdx, 2, a) op(rbx, 3, a) op(rbp, 5, a) op(rsi, 6, a)        \
	op(rdi, 7, a) op(r8, 8, a) op(r9, 9, a) op(r10, 10, a) op(r11, 11, a) op(r12, 12, a)       \
	op(r13, 13, a) op(r14, 14, a) op(r15, 15, a)
#define REGS_XMM(op, a)                                                                            \
	op(0, a) op(1, a) op(2, a) op(3, a) op(4, a) op(5, a) op(6, a) op(7, a) op(8, a) op(9, a)  \
	op(10, a) op(11, a) op(12, a) op(13, a) op(14, a) op(15, a)
#define REGS_LOAD_GPR(r, n, a)	"mov " #a "+8*" #n "(%rip),%" #r "\n"
#define REGS_STORE_GPR(r, n, a) "mov %" #r "," #a "+8*" #n "(%rip)\n"
#define REGS_LOAD_XMM(n, a)	"movups " #a "+128+16*" #n "(%rip),%xmm" #n "\n"
#define REGS_STORE_XMM(n, a)	"movups %xmm" #n "," #a "+128+16*" #n "(%rip)\n"

/* Assembler text: all registers from, and to, a struct regs; rsp is left to the user. */
#define REGS_LOAD(a)  REGS_XMM(REGS_LOAD_XMM, a) REGS_GPR(REGS_LOAD_GPR, a)
#define REGS_STORE(a) REGS_GPR(REGS_STORE_GPR, a) REGS_XMM(REGS_STORE_XMM, a)
#define REGS_PUSH     "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
#define REGS_POP      "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"

static inline void regs_fill(void)
{
	unsigned i, j;

	for (i = 0; i < 16; i++) {
		regs_in.gpr[i] = 0x1111000000000000ull * (i + 1) + 0xabcdef0123ull + i;
		for (j = 0; j < 16; j++)
			regs_in.xmm[i][j] = (uint8_t)(i * 16 + j + 7);
	}
}

#endif
