/* SPDX-License-Identifier: MIT */
/*
 * target/call.c – calling a function in a borrowed thread.
 *
 * The call looks like the kernel's call of a signal handler: the return address lies at the foot of
 * the frame, so a plain `ret` leads to rt_sigreturn(2) with the frame where that looks for it.
 * Driven by hp, the thread is caught at the entry of that rt_sigreturn; without hp it goes through.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "hp/err.h"
#include "target/borrow_priv.h"
#include "target/threads.h"
#include "target/unwind.h"

#ifndef PTRACE_SETSIGMASK
#define PTRACE_SETSIGMASK 0x420b
#endif

#define SYSCALL_STOP	      (SIGTRAP | 0x80)
#define ERESTART_RESTARTBLOCK 516
#define EFLAGS_TRAP_DIRECTION 0x500u
#define ARGS_MAX	      6
#define SIG_BIT(s)	      (1ull << ((s)-1))

/* Raised by a fault while blocked, they would not only kill: the kernel would reset the process'
 * handler first (force_sig_info_to_task() in kernel/signal.c). */
static const uint64_t faults = SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) |
			       SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGSYS);

struct call {
	struct hp_borrow *b;
	hp_addr fn, stub;
	uint64_t deadline_ns;
	struct hp_range abandonable;
	bool at_entry; /* the next system call stop is an exit */
};

int hp_borrow_stub_fill(uint8_t out[HP_BORROW_STUB_LEN], hp_addr at, hp_addr result_word)
{
	/* mov %rax, result(%rip); mov $15,%eax; syscall */
	static const uint8_t code[HP_BORROW_STUB_LEN] = {0x48, 0x89, 0x05, 0, 0, 0, 0,
							 0xb8, 15, 0, 0, 0, 0x0f, 0x05};
	int64_t distance = (int64_t)(result_word - (at + 7));
	int32_t rel = (int32_t)distance;

	if (rel != distance)
		return -ERANGE;
	memcpy(out, code, sizeof(code));
	memcpy(out + 3, &rel, sizeof(rel));
	return 0;
}

static int thread_gone(struct call *c, struct hp_err *err)
{
	c->b->let_go = true;
	return hp_err_set(err, -HP_E_GONE, "thread %d of process %d ended in a called function",
			  (int)c->b->inj.tid, (int)c->b->t->pid);
}

struct frames {
	const struct call *c;
	bool wrapper;	 /* the innermost may be the wrapper of the system call that it is in */
	bool first;
	hp_addr foreign; /* the innermost pc that is not the patch's; 0: none */
};

static int judge_frame(void *arg, const struct hp_frame *f)
{
	struct frames *fr = arg;
	hp_addr pc = f->activation ? f->pc : f->pc - 1;
	bool first = fr->first, wrapper = first && fr->wrapper;

	fr->first = false;
	if (f->sp > fr->c->b->inj.frame) { /* beyond the called function: its return into the frame */
		fr->foreign = first ? pc : 0; /* it left the function another way: pthread_exit(3) */
		return 1;
	}
	if (hp_in(fr->c->abandonable, pc) || wrapper)
		return 0;
	fr->foreign = pc;
	return 1;
}

/* Is nothing but the patch on the stack, so that nobody else's work is left half done?  What is in
 * the way, or that the stack cannot be read, goes into @why. */
static bool may_abandon(const struct call *c, bool wrapper, char *why, size_t n)
{
	struct frames fr = {.c = c, .wrapper = wrapper, .first = true};
	struct user_regs_struct regs;
	enum hp_walk w = HP_WALK_BROKEN;

	if (hp_thread_regs(c->b->inj.tid, &regs) == 0)
		w = hp_unwind_walk(hp_looker_unwind(c->b->l), &regs, judge_frame, &fr);
	if (fr.foreign)
		hp_target_describe(c->b->t, fr.foreign, why, n);
	else
		(void)snprintf(why, n, "a stack that cannot be read");
	return w == HP_WALK_STOPPED && !fr.foreign;
}

/* It is over, and the thread is led back to its frame: -HP_E_HOOK when that leaves nothing behind,
 * -HP_E_PARTIAL when it was in the middle of other code. */
__attribute__((format(printf, 4, 5))) static int failed(struct call *c, bool wrapper,
							 struct hp_err *err, const char *fmt, ...)
{
	char what[256], within[300];
	bool alone = may_abandon(c, wrapper, within, sizeof(within));
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (hp_inject_abandon(&c->b->inj) < 0)
		return thread_gone(c, err);
	if (alone)
		return hp_err_set(err, -HP_E_HOOK, "the function at 0x%llx %s",
				  (unsigned long long)c->fn, what);
	return hp_err_set(err, -HP_E_PARTIAL,
			  "the function at 0x%llx %s, within %s: the target goes on, but a lock that was "
			  "held there stays held, and what was being changed is half changed",
			  (unsigned long long)c->fn, what, within);
}

static int start(struct call *c, const uint64_t *args, size_t n_args, struct hp_err *err)
{
	struct hp_inject *inj = &c->b->inj;
	struct user_regs_struct r = inj->saved;
	uint64_t a[ARGS_MAX] = {0}, mask = ~faults;

	for (size_t i = 0; i < n_args; i++)
		a[i] = args[i];
	r.rip = c->fn;
	r.rsp = inj->frame;
	r.rax = 0; /* no vector registers hold variable arguments: psABI 3.2.3 */
	r.orig_rax = (uint64_t)-1;
	r.rdi = a[0];
	r.rsi = a[1];
	r.rdx = a[2];
	r.rcx = a[3];
	r.r8 = a[4];
	r.r9 = a[5];
	r.eflags &= ~(uint64_t)EFLAGS_TRAP_DIRECTION;
	inj->called = true;
	if (c->stub) {
		int e = hp_mem_poke(c->b->t, inj->frame, &c->stub, sizeof(c->stub), err);

		if (e < 0)
			return e;
	}
	if (hp_thread_set_regs(inj->tid, &r) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, inj->tid, sizeof(mask), &mask))
		return thread_gone(c, err);
	hp_fault_pass(HP_FAULT_CALL_BEGUN);
	return 0;
}

static int left_waiting(struct call *c, struct hp_err *err)
{
	pid_t tid = c->b->inj.tid;

	hp_thread_leave(tid);
	c->b->let_go = true;
	return hp_err_set(err, -HP_E_PARTIAL,
			  "the function at 0x%llx was not back in time and is in an uninterruptible "
			  "wait: thread %d runs on in it",
			  (unsigned long long)c->fn, (int)tid);
}

static int timed_out(struct call *c, struct hp_err *err)
{
	pid_t tid = c->b->inj.tid;
	char within[300];
	int status;

	do {
		int r = -ESRCH;

		if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0)
			r = hp_thread_wait_until(tid, &status, hp_now_ns() + HP_THREAD_STOP_NS);
		if (r == -ETIMEDOUT)
			return left_waiting(c, err);
		if (r < 0)
			return thread_gone(c, err);
		if (status >> 16 != PTRACE_EVENT_STOP &&
		    ptrace(PTRACE_CONT, tid, NULL, NULL)) /* the event stop follows */
			return thread_gone(c, err);
	} while (status >> 16 != PTRACE_EVENT_STOP);
	c->b->inj.restart_block = true; /* it may have been asleep in a call of its own */
	if (may_abandon(c, false, within, sizeof(within)))
		return failed(c, false, err, "was not back in time and was abandoned");
	hp_thread_mend(tid);
	(void)hp_thread_release(tid); /* 0 when it died meanwhile */
	c->b->let_go = true;
	return hp_err_set(err, -HP_E_PARTIAL,
			  "the function at 0x%llx was not back in time and is within %s: thread %d runs "
			  "on in it, for to abandon it might leave a lock held",
			  (unsigned long long)c->fn, within, (int)tid);
}

/* These take the thread's one restart block as soon as they are entered. */
static bool takes_restart_block(uint64_t nr)
{
	return nr == SYS_nanosleep || nr == SYS_clock_nanosleep || nr == SYS_poll ||
	       nr == SYS_futex || nr == SYS_restart_syscall || nr == SYS_rt_sigreturn;
}

/* 1: back; 0: go on; negative: it is over. */
static int at_syscall(struct call *c, struct hp_err *err)
{
	struct hp_inject *inj = &c->b->inj;
	struct user_regs_struct r;

	if (hp_thread_regs(inj->tid, &r) < 0)
		return thread_gone(c, err);
	c->at_entry = !c->at_entry;
	if (!c->at_entry) {
		inj->restart_block |= -(int64_t)r.rax == ERESTART_RESTARTBLOCK;
		return 0;
	}
	if (r.orig_rax == SYS_rt_sigreturn && r.rsp == inj->frame + sizeof(uint64_t))
		return hp_inject_abandon(inj) < 0 ? thread_gone(c, err) : 1;
	inj->restart_block |= takes_restart_block(r.orig_rax);
	switch (r.orig_rax) {
	case SYS_exit:
		return failed(c, true, err, "tried to end its thread");
	case SYS_exit_group:
		return failed(c, true, err, "tried to end the process");
	case SYS_execve:
	case SYS_execveat:
		return failed(c, true, err, "tried to execute another program");
	}
	return 0;
}

/* 0: go on, with *deliver; negative: it is over. */
static int at_signal(struct call *c, int sig, int *deliver, struct hp_err *err)
{
	siginfo_t info = {0};

	*deliver = 0;
	if (sig == SIGSTOP) {
		*deliver = sig;
		return 0;
	}
	if (ptrace(PTRACE_GETSIGINFO, c->b->inj.tid, NULL, &info))
		return 0; /* a group stop, not a signal */
	/* abort(3) raises it again and again, and would end the process when it may. */
	if (sig == SIGABRT && info.si_code == SI_TKILL)
		return failed(c, false, err, "was aborted");
	if (!(faults & SIG_BIT(sig)) || info.si_code <= 0) {
		c->b->inj.pass_on |= SIG_BIT(sig); /* sent by somebody: for later */
		return 0;
	}
	return failed(c, false, err, "crashed with SIG%s at address %p", sigabbrev_np(sig), info.si_addr);
}

static int run(struct call *c, struct hp_err *err)
{
	pid_t tid = c->b->inj.tid;
	int deliver = 0, status, r;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, deliver))
			return thread_gone(c, err);
		deliver = 0;
		r = hp_thread_wait_until(tid, &status, c->deadline_ns);
		if (r == -ETIMEDOUT)
			return timed_out(c, err);
		if (r < 0)
			return thread_gone(c, err);
		if (WSTOPSIG(status) == SYSCALL_STOP)
			r = at_syscall(c, err);
		else if (status >> 16 == 0)
			r = at_signal(c, WSTOPSIG(status), &deliver, err);
		if (r)
			return r < 0 ? r : 0;
	}
}

int hp_borrow_call(struct hp_borrow *b, hp_addr fn, const uint64_t *args, size_t n_args,
		   hp_addr return_stub, hp_addr result_word, uint64_t deadline_ns,
		   struct hp_range abandonable, uint64_t *ret_value, struct hp_err *err)
{
	struct call c = {.b = b,
			 .fn = fn,
			 .stub = return_stub,
			 .deadline_ns = deadline_ns,
			 .abandonable = abandonable};
	uint64_t value = 0;
	int r;

	if (n_args > ARGS_MAX)
		return hp_err_set(err, -EINVAL, "a called function takes at most %d arguments",
				  ARGS_MAX);
	r = start(&c, args, n_args, err);
	if (r == 0)
		r = run(&c, err);
	if (r == 0 && return_stub)
		r = hp_mem_read(b->t, result_word, &value, sizeof(value), err);
	if (r == 0 && ret_value)
		*ret_value = value;
	return r;
}
