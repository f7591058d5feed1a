/* SPDX-License-Identifier: MIT */
/* What single instructions read and write, and where they lead: those that are easy to mistake. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/insn.h"
#include "arch/regs.h"

enum {
	AX = 1 << 0,
	CX = 1 << 1,
	DX = 1 << 2,
	BX = 1 << 3,
	SI = 1 << 6,
	DI = 1 << 7,
	R9 = 1 << 9,
	R11 = 1 << 11,
	X0 = 1 << 16,
	X1 = 1 << 17,
	X2 = 1 << 18,
};
#define Z17 HP_REG(HP_REG_VEC + 17)
#define Z31 HP_REG(HP_REG_VEC + 31)
#define K0  HP_REG(HP_REG_MASK)
#define K1  HP_REG(HP_REG_MASK + 1)
#define M1  HP_REG(HP_REG_MM + 1)
#define M7  HP_REG(HP_REG_MM + 7)
#define CALLER (HP_REGS_CALLER_SAVED)

/* X(name, text, read in any width, wholly written, touched); callee-saved registers left out. */
#define INSNS(X)                                                                                   \
	X(mov, "mov %rsi,%rcx", SI, CX, CX)                                                        \
	X(mov32, "mov %esi,%ecx", SI, CX, CX)                                                      \
	X(mov16, "mov %si,%cx", SI, 0, CX)                                                         \
	X(mov8, "mov %sil,%cl", SI, 0, CX)                                                         \
	X(high8, "mov %ah,%ch", AX, 0, CX)                                                         \
	X(movzx, "movzbl %sil,%ecx", SI, CX, CX)                                                   \
	X(setcc, "sete %cl", 0, CX, CX)                                                            \
	X(cmov, "cmove %rsi,%rcx", SI | CX, 0, CX)                                                 \
	X(bsr, "bsr %rsi,%rcx", SI, CX, CX)                                                        \
	X(load, "mov 8(%rsi,%rdi,4),%rcx", SI | DI, CX, CX)                                        \
	X(store, "mov %rcx,8(%rsi,%rdi,4)", SI | DI | CX, 0, 0)                                    \
	X(lea, "lea 1(%r9,%rdi),%r11", R9 | DI, R11, R11)                                          \
	X(add, "add %rsi,%rcx", SI | CX, CX, CX)                                                   \
	X(xor_same, "xor %ecx,%ecx", 0, CX, CX)                                                    \
	X(xor_other, "xor %ecx,%esi", CX | SI, SI, SI)                                             \
	X(sub_same, "sub %rdi,%rdi", 0, DI, DI)                                                    \
	X(sbb_same, "sbb %ecx,%ecx", 0, CX, CX)                                                    \
	X(or_minus1, "or $-1,%ecx", 0, CX, CX)                                                     \
	X(or_other, "or $1,%ecx", CX, CX, CX)                                                      \
	X(and_zero, "and $0,%ecx", 0, CX, CX)                                                      \
	X(push, "push %rcx", CX, 0, 0)                                                             \
	X(pop, "pop %rcx", 0, CX, CX)                                                              \
	X(nop, "nopw 0x0(%rcx,%rsi,1)", 0, 0, 0)                                                   \
	X(shift, "shl %cl,%esi", CX | SI, SI, SI)                                                  \
	X(cpuid, "cpuid", AX | CX, AX | CX | DX, AX | CX | DX)                                     \
	X(syscall, "syscall", 0, CX | R11, CX | R11)                                               \
	X(movs, "rep movsq", CX | SI | DI, 0, CX | SI | DI)                                        \
	X(mul, "mul %rsi", AX | SI, AX | DX, AX | DX)                                              \
	X(cqo, "cqto", AX, DX, DX)                                                                 \
	X(pxor_same, "pxor %xmm1,%xmm1", 0, X1, X1)                                                \
	X(pxor_other, "pxor %xmm2,%xmm1", X1 | X2, X1, X1)                                         \
	X(pcmpeq, "pcmpeqd %xmm1,%xmm1", 0, X1, X1)                                                \
	X(movaps, "movaps %xmm2,%xmm1", X2, X1, X1)                                                \
	X(movsd_load, "movsd (%rsi),%xmm1", SI, X1, X1)                                            \
	X(movsd_merge, "movsd %xmm2,%xmm1", X2, X1, X1)                                            \
	X(cvtsi2sd, "cvtsi2sd %rsi,%xmm1", SI, X1, X1)                                             \
	X(vcvtsi2sd, "vcvtsi2sd %rsi,%xmm0,%xmm1", SI, X1, X1)                                     \
	X(sqrtsd, "sqrtsd %xmm2,%xmm1", X2, X1, X1)                                                \
	X(roundsd, "roundsd $1,%xmm2,%xmm1", X2, X1, X1)                                           \
	X(mulsd, "mulsd %xmm2,%xmm1", X1 | X2, X1, X1)                                             \
	X(vxor_same, "vpxor %xmm2,%xmm2,%xmm1", 0, X1, X1)                                         \
	X(vmul, "vmulsd %xmm2,%xmm0,%xmm1", X0 | X2, X1, X1)                                       \
	X(ymm, "vmovaps %ymm2,%ymm1", X2, X1, X1)                                                  \
	X(k_load, "kmovd %esi,%k1", SI, K1, K1)                                                    \
	X(k_store, "kmovw %k1,%ecx", K1, CX, CX)                                                   \
	X(k_test, "kortestb %k0,%k0", K0, 0, 0)                                                    \
	X(k_same, "kxnorb %k1,%k1,%k1", 0, K1, K1)                                                 \
	X(k_other, "kxorw %k0,%k1,%k1", K0 | K1, K1, K1)                                           \
	X(evex, "vpaddd %zmm0,%zmm17,%zmm31", X0 | Z17, Z31, Z31)                                  \
	X(evex_merge, "vpaddd %zmm0,%zmm17,%zmm1{%k1}", X0 | X1 | Z17 | K1, 0, X1)                 \
	X(evex_zero, "vpaddd %zmm0,%zmm17,%zmm1{%k1}{z}", X0 | Z17 | K1, X1, X1)                   \
	X(evex_load, "vmovupd (%rsi),%zmm1{%k1}{z}", SI | K1, X1, X1)                              \
	X(evex_store, "vmovupd %zmm17,(%rsi){%k1}", SI | Z17 | K1, 0, 0)                           \
	X(evex_same, "vpxord %zmm17,%zmm17,%zmm17", 0, Z17, Z17)                                   \
	X(evex_same_merge, "vpxord %zmm0,%zmm0,%zmm1{%k1}", X1 | K1, 0, X1)                        \
	X(evex_to_k, "vpcmpeqb %zmm1,%zmm17,%k0", X1 | Z17, K0, K0)                                \
	X(evex_to_masked_k, "vpcmpeqb %zmm1,%zmm17,%k0{%k1}", X1 | Z17 | K1, K0, K0)               \
	X(gather, "vgatherdpd (%rsi,%ymm17,8),%zmm1{%k1}", SI | X1 | Z17 | K1, K1, X1 | K1)        \
	X(scatter, "vscatterdpd %zmm1,(%rsi,%ymm17,8){%k1}", SI | X1 | Z17 | K1, K1, K1)           \
	X(ternlog_ones, "vpternlogd $0xff,%zmm1,%zmm1,%zmm1", 0, X1, X1)                           \
	X(ternlog_not, "vpternlogd $0x55,%zmm17,%zmm1,%zmm1", Z17, X1, X1)                         \
	X(ternlog_not_merge, "vpternlogd $0x55,%zmm17,%zmm1,%zmm1{%k1}", X1 | Z17 | K1, 0, X1)     \
	X(ternlog_second, "vpternlogq $0xcc,%zmm17,%zmm0,%zmm1", X0, X1, X1)                       \
	X(ternlog_dest, "vpternlogq $0xf0,%zmm17,%zmm0,%zmm1", X1, X1, X1)                         \
	X(ternlog_all, "vpternlogd $0x96,%zmm17,%zmm0,%zmm1", X0 | X1 | Z17, X1, X1)               \
	X(vcvtusi2sd, "vcvtusi2sd %rsi,%xmm1,%xmm17", SI, Z17, Z17)                                \
	X(vsqrtsd_evex, "vsqrtsd %xmm17,%xmm0,%xmm1", Z17, X1, X1)                                 \
	X(vsqrtsd_merge, "vsqrtsd %xmm17,%xmm0,%xmm1{%k1}", Z17 | X1 | K1, 0, X1)                  \
	X(vsqrtsd_zero, "vsqrtsd %xmm17,%xmm0,%xmm1{%k1}{z}", Z17 | K1, X1, X1)                    \
	X(vrndscalesd, "vrndscalesd $1,%xmm2,%xmm0,%xmm17", X2, Z17, Z17)                          \
	X(mmx, "paddd %mm7,%mm1", M1 | M7, M1, M1)                                                 \
	X(mmx_load, "movq %rsi,%mm1", SI, M1, M1)                                                  \
	X(x87, "faddp", 0, 0, 0)                                                                   \
	X(call_ind, "call *%rcx", CX, 0, 0)

#define DEFINE(name, text, ...) "i_" #name ": " text "\n"
__asm__(".text\n" INSNS(DEFINE) "i_end: ret\n"
	"f_jmp: jmp i_end\nf_je: je i_end\nf_call: call i_end\nf_loop: 1: loop 1b\n"
	"f_jrcxz: 1: jrcxz 1b\nf_ind: jmp *%rax\nf_mem: jmp *8(%rax)\nf_ret: ret $16\n"
	"f_ud2: ud2\nf_hlt: hlt\nf_int3: int3\nf_callm: call *(%rax)\n"
	"f_bnd: .byte 0xf2; jmp i_end\nf_xbegin: xbegin i_end\nf_sys: syscall\n");
#define DECLARE(name, ...) extern const uint8_t i_##name[];
INSNS(DECLARE)
extern const uint8_t i_end[], f_jmp[], f_je[], f_call[], f_loop[], f_jrcxz[], f_ind[], f_mem[],
	f_ret[], f_ud2[], f_hlt[], f_int3[], f_callm[], f_bnd[], f_xbegin[], f_sys[];

static void registers(void **state)
{
	static const struct {
		const char *name;
		const uint8_t *code;
		hp_regs read, write, touched;
	} insn[] = {
#define ENTRY(name, text, r, w, t) {#name, i_##name, r, w, t},
		INSNS(ENTRY)};
	size_t k;

	for (k = 0; k < sizeof(insn) / sizeof(insn[0]); k++) {
		struct hp_insn_regs r;
		struct hp_insn in;

		assert_true(hp_insn_decode(&in, insn[k].code, HP_INSN_MAX, 0x1000));
		hp_insn_regs(&r, &in);
		if (((r.read | r.read16 | r.read8) & CALLER) != insn[k].read ||
		    (r.write & CALLER) != insn[k].write || (r.touched & CALLER) != insn[k].touched)
			fail_msg("%s: reads %" PRIx64 "/%" PRIx64 "/%" PRIx64 ", writes %" PRIx64
				 ", touches %" PRIx64,
				 insn[k].name, r.read, r.read16, r.read8, r.write, r.touched);
	}
}

static void widths(void **state)
{
	struct hp_insn_regs r;
	struct hp_insn in;

	assert_true(hp_insn_decode(&in, i_mov8, HP_INSN_MAX, 0));
	hp_insn_regs(&r, &in);
	assert_int_equal(r.read8, SI);
	assert_int_equal(r.write8, CX);
	assert_true(hp_insn_decode(&in, i_mov16, HP_INSN_MAX, 0));
	hp_insn_regs(&r, &in);
	assert_int_equal(r.read16, SI);
	assert_int_equal(r.write16, CX);
	assert_true(hp_insn_decode(&in, i_high8, HP_INSN_MAX, 0));
	hp_insn_regs(&r, &in);
	assert_int_equal(r.read16, AX);
	assert_int_equal(r.write8 | r.write16, 0);
}

static void flows(void **state)
{
	const struct {
		const uint8_t *code;
		enum hp_insn_flow flow;
		const uint8_t *target;
	} insn[] = {
		{f_jmp, HP_INSN_JUMP, i_end},	 {f_je, HP_INSN_COND, i_end},
		{f_call, HP_INSN_CALL, i_end},	 {f_loop, HP_INSN_COND, f_loop},
		{f_jrcxz, HP_INSN_COND, f_jrcxz}, {f_ind, HP_INSN_JUMP_IND, NULL},
		{f_mem, HP_INSN_JUMP_IND, NULL}, {f_ret, HP_INSN_RET, NULL},
		{f_ud2, HP_INSN_STOP, NULL},	 {f_hlt, HP_INSN_STOP, NULL},
		{f_int3, HP_INSN_STOP, NULL},	 {f_callm, HP_INSN_CALL_IND, NULL},
		{f_bnd, HP_INSN_JUMP, i_end},	 {f_xbegin, HP_INSN_COND, i_end},
		{f_sys, HP_INSN_NEXT, NULL},	 {i_mov, HP_INSN_NEXT, NULL},
	};
	size_t k;

	for (k = 0; k < sizeof(insn) / sizeof(insn[0]); k++) {
		hp_addr at = (uintptr_t)insn[k].code;
		struct hp_insn in;

		assert_true(hp_insn_decode(&in, insn[k].code, HP_INSN_MAX, at));
		if (in.flow != insn[k].flow || in.target != (uintptr_t)insn[k].target)
			fail_msg("%s: flow %d", ZydisMnemonicGetString(in.i.mnemonic), in.flow);
	}
}

static void short_input_is_refused(void **state)
{
	static const uint8_t call[] = {0xe8, 1, 2, 3, 4}, bad[] = {0x06, 0, 0, 0};
	struct hp_insn in;
	size_t n;

	for (n = 0; n < sizeof(call); n++)
		assert_false(hp_insn_decode(&in, call, n, 0));
	assert_true(hp_insn_decode(&in, call, n, 0x1000));
	assert_int_equal(in.target, 0x1005 + 0x04030201);
	assert_false(hp_insn_decode(&in, bad, sizeof(bad), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(widths),
		cmocka_unit_test(flows),
		cmocka_unit_test(short_input_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
