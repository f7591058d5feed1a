/* SPDX-License-Identifier: MIT */
/*
 * The layout is ABI: arch/x86/include/uapi/asm/sigcontext.h and ucontext.h.  The kernel reads the
 * ucontext and the extended state only; it checks that the state is framed by its two magic numbers, the
 * second behind what the task's own takes (arch/x86/kernel/fpu/signal.c, check_xstate_in_sigframe()); else
 * it restores x87 and SSE alone and says nothing.
 */
#include "arch/sigframe.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

/* uc_flags: extended state is there; ss is valid and is to be restored as it is */
#define UC_FP_XSTATE	     0x1
#define UC_SIGCONTEXT_SS     0x2
#define UC_STRICT_RESTORE_SS 0x4

#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
/* struct _fpx_sw_bytes lies in the last 48 bytes of the 512 of FXSAVE */
#define SW_BYTES_AT	 464
#define XSAVE_MIN	 (512 + 64)
#define XSTATE_BV_AT	 512
#define CPUID_XSTATE	 0xd
/* What a thread has room for from its first use on: AMX's tiles, 8 kB (XFEATURE_MASK_USER_DYNAMIC,
 * arch/x86/include/asm/fpu/xstate.h) */
#define XFEATURES_DYNAMIC (1ull << 18)

/* rt_sigreturn restores the alternate stack as well.  It ignores a refused sigaltstack (all but
 * EFAULT, kernel/signal.c restore_altstack()), so a mode that does not exist leaves it alone. */
#define SS_NO_SUCH_MODE 0x7ffffff

struct sw_bytes {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, padding[7];
};
_Static_assert(SW_BYTES_AT + sizeof(struct sw_bytes) == 512, "as the kernel has it");

struct frame {
	uint64_t restorer;
	uint64_t flags, link;
	uint64_t ss_sp;
	uint32_t ss_flags, pad;
	uint64_t ss_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
	uint64_t sigmask;
	uint8_t siginfo[128];
};
_Static_assert(sizeof(struct frame) == HP_SIGFRAME_UC, "as the header says");
_Static_assert(offsetof(struct frame, di) == HP_SIGFRAME_DI, "as the header says");

static void put_regs(struct frame *f, const struct user_regs_struct *r)
{
	f->r8 = r->r8;
	f->r9 = r->r9;
	f->r10 = r->r10;
	f->r11 = r->r11;
	f->r12 = r->r12;
	f->r13 = r->r13;
	f->r14 = r->r14;
	f->r15 = r->r15;
	f->di = r->rdi;
	f->si = r->rsi;
	f->bp = r->rbp;
	f->bx = r->rbx;
	f->dx = r->rdx;
	f->ax = r->rax;
	f->cx = r->rcx;
	f->sp = r->rsp;
	f->ip = r->rip;
	f->eflags = r->eflags;
	f->cs = (uint16_t)r->cs;
	f->ss = (uint16_t)r->ss;
}

/* Of a thread that has used none of those.  A virtual machine has to leave for each CPUID. */
static size_t size_without_dynamic(uint64_t xfeatures)
{
	static size_t known;
	size_t size = XSAVE_MIN;

	if (known)
		return known;
	for (unsigned i = 2; i < 63; i++) {
		unsigned n, at, ecx, edx;

		if (!((xfeatures & ~XFEATURES_DYNAMIC) >> i & 1))
			continue;
		__cpuid_count(CPUID_XSTATE, i, n, at, ecx, edx); /* a thread has it, so it is there */
		if (at + n > size)
			size = at + n;
	}
	known = size;
	return size;
}

/*
 * PTRACE_GETREGSET leaves XCR0 where the signal frame has its software bytes, and gives every thread the
 * size of all features, where the kernel looks for the second number at the end of what this thread has.
 * Which of the two that is cannot be told where no tile is in use: then nothing is read where the tiles
 * would lie, and the number is at both ends.
 */
static void put_xstate(uint8_t *to, const uint8_t *xstate, size_t n)
{
	const uint32_t magic2 = FP_XSTATE_MAGIC2;
	struct sw_bytes sw = {.magic1 = FP_XSTATE_MAGIC1};
	size_t size = n;
	uint64_t used;

	memcpy(&sw.xfeatures, xstate + SW_BYTES_AT, sizeof(sw.xfeatures));
	memcpy(&used, xstate + XSTATE_BV_AT, sizeof(used));
	memcpy(to, xstate, n);
	memcpy(to + n, &magic2, sizeof(magic2));
	if ((sw.xfeatures & ~used) & XFEATURES_DYNAMIC) {
		size = size_without_dynamic(sw.xfeatures);
		memcpy(to + size, &magic2, sizeof(magic2));
	}
	/* older kernels go by these */
	sw.xstate_size = (uint32_t)size;
	sw.extended_size = (uint32_t)(size + sizeof(magic2));
	memcpy(to + SW_BYTES_AT, &sw, sizeof(sw));
}

int hp_sigframe_build(struct hp_sigframe *ret, hp_addr sp, const struct user_regs_struct *regs,
		      uint64_t sigmask, const uint8_t *xstate, size_t xstate_n, hp_addr restorer)
{
	struct frame f = {
		.restorer = restorer,
		.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.ss_flags = SS_NO_SUCH_MODE,
		.sigmask = sigmask,
	};
	hp_addr at;

	if (xstate_n < XSAVE_MIN)
		return -EINVAL;
	if (xstate_n > HP_XSTATE_MAX)
		return -EOVERFLOW;
	/* XRSTOR wants 64; the frame lies as if the restorer's address had been pushed by a call */
	f.fpstate = (sp - xstate_n - sizeof(uint32_t)) & ~63ull;
	at = ((f.fpstate - sizeof(f)) & ~15ull) - sizeof(uint64_t);
	put_regs(&f, regs);

	memset(ret->bytes, 0, sizeof(ret->bytes));
	memcpy(ret->bytes, &f, sizeof(f));
	put_xstate(ret->bytes + (f.fpstate - at), xstate, xstate_n);
	ret->frame = ret->base = at;
	ret->n = f.fpstate - at + xstate_n + sizeof(uint32_t);
	return 0;
}

void hp_sigframe_retarget(struct hp_sigframe *f, hp_addr ip, hp_addr sp, long nr,
			  const uint64_t args[4])
{
	struct frame b;

	memcpy(&b, f->bytes, sizeof(b));
	b.ip = ip;
	b.sp = sp;
	b.ax = (uint64_t)nr;
	b.di = args[0];
	b.si = args[1];
	b.dx = args[2];
	b.r10 = args[3];
	b.sigmask = ~0ull;
	memcpy(f->bytes, &b, sizeof(b));
}
