/* SPDX-License-Identifier: MIT */
/*
 * A child stands at a breakpoint with every register filled.  The tracer lays a frame below its
 * stack, ruins registers, vector state and signal mask, and lets it go through the restorer: it
 * must go on as if nothing had happened.
 */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/sigframe.h"
#include "arch_regs.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

uint64_t sp_before, sp_after;
void stand_and_go_on(void);
void a_ret(void);
void restorer(void);
void elsewhere(void);

__asm__(".text\n.globl stand_and_go_on, a_ret, restorer, elsewhere\n"
	"stand_and_go_on:\n" REGS_PUSH
	"mov %rsp,sp_before(%rip)\n" REGS_LOAD(regs_in)
	"int3\n" REGS_STORE(regs_out)
	"mov %rsp,sp_after(%rip)\n" REGS_POP
	"a_ret: ret\n"
	"restorer: mov $15,%eax\nsyscall\n"
	/* exit(the sum of number and arguments) */
	"elsewhere: add %rax,%rdi\nadd %rsi,%rdi\nadd %rdx,%rdi\nadd %r10,%rdi\nmov $60,%eax\nsyscall\n");

static hp_addr addr(void (*fn)(void))
{
	return (hp_addr)(uintptr_t)fn;
}

/* What the child finds afterwards is its exit status. */
static int judge(const sigset_t *mask)
{
	sigset_t now;
	stack_t ss;

	if (sigprocmask(SIG_BLOCK, NULL, &now) || memcmp(&now, mask, 8))
		return 2;
	if (sigaltstack(NULL, &ss) || ss.ss_size != 65536 || ss.ss_flags != 0)
		return 3;
	regs_in.gpr[4] = regs_out.gpr[4] = 0;
	if (memcmp(&regs_in, &regs_out, sizeof(regs_in)))
		return 4;
	return sp_before == sp_after ? 0 : 5;
}

static void child(void)
{
	static char alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) || sigprocmask(SIG_SETMASK, &mask, NULL) ||
	    sigaltstack(&ss, NULL))
		_exit(99);
	regs_fill();
	stand_and_go_on();
	_exit(judge(&mask));
}

struct stood {
	pid_t pid;
	struct user_regs_struct regs;
	uint64_t mask;
	uint8_t xstate[HP_XSTATE_MAX];
	size_t xstate_n;
};

static void stand(struct stood *s)
{
	struct iovec io = {s->xstate, sizeof(s->xstate)};
	int st;

	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
		child();
	assert_int_equal(waitpid(s->pid, &st, 0), s->pid);
	assert_true(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTRAP);
	assert_int_equal(ptrace(PTRACE_GETREGS, s->pid, 0, &s->regs), 0);
	assert_int_equal(ptrace(PTRACE_GETREGSET, s->pid, NT_X86_XSTATE, &io), 0);
	assert_int_equal(ptrace(PTRACE_GETSIGMASK, s->pid, 8, &s->mask), 0);
	s->xstate_n = io.iov_len;
}

static void write_child(pid_t pid, hp_addr at, const void *p, size_t n)
{
	struct iovec from = {(void *)(uintptr_t)p, n}, to = {(void *)(uintptr_t)at, n};

	assert_int_equal(process_vm_writev(pid, &from, 1, &to, 1, 0), (ssize_t)n);
}

/* Everything the thread had is lost but the frame at @frame. */
static void ruin(struct stood *s, hp_addr frame)
{
	struct user_regs_struct r = s->regs;
	uint64_t all = ~0ull;
	uint8_t x[HP_XSTATE_MAX];
	struct iovec io = {x, s->xstate_n};

	r.r15 = r.r14 = r.r13 = r.r12 = r.rbp = r.rbx = r.r11 = r.r10 = r.r9 = r.r8 = 0xdead;
	r.rax = r.rcx = r.rdx = r.rsi = r.rdi = 0xdead;
	r.rip = addr(a_ret);
	r.rsp = frame;
	r.orig_rax = ~0ull;
	memcpy(x, s->xstate, s->xstate_n);
	memset(x + 160, 0xee, 256); /* xmm0-15 in the FXSAVE area */
	assert_int_equal(ptrace(PTRACE_SETREGS, s->pid, 0, &r), 0);
	assert_int_equal(ptrace(PTRACE_SETREGSET, s->pid, NT_X86_XSTATE, &io), 0);
	assert_int_equal(ptrace(PTRACE_SETSIGMASK, s->pid, 8, &all), 0);
}

static int go_on(pid_t pid)
{
	int st;

	assert_int_equal(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	return WEXITSTATUS(st);
}

static void frame_restores_the_thread(void **state)
{
	struct stood s;
	struct hp_sigframe f;

	stand(&s);
	assert_int_equal(hp_sigframe_build(&f, s.regs.rsp - HP_RED_ZONE, &s.regs, s.mask, s.xstate,
					   s.xstate_n, addr(restorer)),
			 0);
	assert_true(f.base + f.n <= s.regs.rsp - HP_RED_ZONE);
	assert_true(f.n <= sizeof(f.bytes));
	write_child(s.pid, f.base, f.bytes, f.n);
	ruin(&s, f.frame);
	assert_int_equal(go_on(s.pid), 0);
}

static void retargeted_frame_goes_elsewhere(void **state)
{
	struct stood s;
	struct hp_sigframe f;
	hp_addr copy;

	stand(&s);
	assert_int_equal(hp_sigframe_build(&f, s.regs.rsp - HP_RED_ZONE, &s.regs, s.mask, s.xstate,
					   s.xstate_n, addr(restorer)),
			 0);
	write_child(s.pid, f.base, f.bytes, f.n);
	copy = f.base - 4096;
	hp_sigframe_retarget(&f, addr(elsewhere), s.regs.rsp, 30,
			     (const uint64_t[4]){2, 3, 3, 4});
	write_child(s.pid, copy, f.bytes, HP_SIGFRAME_UC);
	ruin(&s, copy);
	assert_int_equal(go_on(s.pid), 42);
}

static void odd_states_are_refused(void **state)
{
	static uint8_t x[HP_XSTATE_MAX + 64];
	struct user_regs_struct r = {0};
	struct hp_sigframe f;

	assert_int_equal(hp_sigframe_build(&f, 1 << 20, &r, 0, x, 512, 0x1000), -EINVAL);
	assert_int_equal(hp_sigframe_build(&f, 1 << 20, &r, 0, x, sizeof(x), 0x1000), -EOVERFLOW);
	assert_int_equal(hp_sigframe_build(&f, 1 << 20, &r, 0, x, HP_XSTATE_MAX, 0x1000), 0);
	assert_int_equal((f.frame + 8) % 16, 0);
	assert_true(f.n <= sizeof(f.bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_restores_the_thread),
		cmocka_unit_test(retargeted_frame_goes_elsewhere),
		cmocka_unit_test(odd_states_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
