/* SPDX-License-Identifier: MIT */
/*
 * target/inject.c – the orders that keep a thread whole when hp is killed:
 *
 *	begin	the frame is written, then the registers change, then all signals are blocked;
 *	end	the mask is put back, then the registers.
 *
 * Between any two steps the thread either is as it was or returns into its frame, which puts back
 * registers, extended state and mask.  There is no instant at which it would run on with another
 * mask or another register than its own.
 */
#include "target/inject.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/kernel.h"
#include "hp/err.h"
#include "target/drive.h"
#include "target/gadget.h"
#include "target/readable.h"
#include "target/seccomp.h"
#include "target/threads.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

#define SYSCALL_INSN_LEN      2
#define MOV_EAX               0xb8
#define MOV_EAX_LEN           5
#define EFLAGS_TRAP           0x100u
#define ERESTARTSYS           512
#define ERESTARTNOINTR        513
#define ERESTARTNOHAND        514
#define ERESTART_RESTARTBLOCK 516
#define STOPS_MAX             1000 /* before the event stop; signals are blocked */

static const uint64_t all_signals = ~0ull;

static bool in_restart(const struct user_regs_struct *r)
{
	if ((int64_t)r->orig_rax < 0)
		return false;
	switch (-(int64_t)r->rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return true;
	}
	return false;
}

static int read_state(struct hp_inject *inj)
{
	struct iovec io = {inj->xstate, sizeof(inj->xstate)};

	if (hp_thread_regs(inj->tid, &inj->saved) < 0 ||
	    ptrace(PTRACE_GETSIGMASK, inj->tid, sizeof(inj->mask), &inj->mask) ||
	    ptrace(PTRACE_GETREGSET, inj->tid, NT_X86_XSTATE, &io))
		return -errno;
	inj->xstate_n = io.iov_len;
	return 0;
}

/* A wait with a time-out that was interrupted before is blocked in restart_syscall(2), which needs
 * a restart block that rt_sigreturn(2) and others clear.  What it was called as stands in the code:
 * mov $nr,%eax before the system call instruction. */
static bool original_call(const struct hp_inject *inj, uint64_t *nr)
{
	uint8_t code[MOV_EAX_LEN];
	uint32_t value;

	*nr = inj->saved.orig_rax;
	if (*nr != SYS_restart_syscall)
		return true;
	if (hp_mem_read(inj->t, inj->saved.rip - SYSCALL_INSN_LEN - MOV_EAX_LEN, code, sizeof(code),
			NULL) < 0 ||
	    code[0] != MOV_EAX)
		return false;
	memcpy(&value, code + 1, sizeof(value));
	*nr = value;
	return true;
}

/* What the frame restores: a blocked call is begun again, since nobody is there any more to tell
 * the kernel to restart it. */
static struct user_regs_struct self_restoring(const struct hp_inject *inj)
{
	struct user_regs_struct r = inj->saved;

	if (in_restart(&r)) {
		r.rax = inj->call;
		r.rip -= SYSCALL_INSN_LEN;
	}
	return r;
}

/* Any of these may stand in for a call that must not be made. */
static bool find_nothing(struct hp_inject *inj)
{
	static const long calls[] = {SYS_getpid, SYS_gettid, SYS_sched_yield, SYS_getppid};
	const uint64_t none[6] = {0};
	hp_addr after = inj->t->gadget + SYSCALL_INSN_LEN;

	inj->nothing = calls[0];
	if (!inj->filtered)
		return true;
	if (!hp_seccomp_allows(inj->tid, after, SYS_rt_sigreturn, none))
		return false;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		inj->nothing = calls[i];
		if (hp_seccomp_allows(inj->tid, after, inj->nothing, none))
			return true;
	}
	return false;
}

/* Before Linux 6.4 nobody is told. */
static bool dispatches_calls(pid_t tid)
{
	struct hp_dispatch_config config = {0};

	return ptrace(HP_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, sizeof(config), &config) == 0 &&
	       config.mode;
}

/* Writing goes upwards: it would be over the next stack before it came to this one's guard page, which
 * need not be the end of a mapping (target/readable.h). */
static bool has_room(const struct hp_inject *inj, hp_addr floor)
{
	hp_addr rsp = inj->saved.rsp, lowest = inj->image.base - HP_INJECT_BELOW;

	if (rsp < floor || rsp - floor < HP_INJECT_ROOM || lowest < floor)
		return false;
	if (lowest > rsp - HP_INJECT_ROOM)
		lowest = rsp - HP_INJECT_ROOM;
	return hp_mem_readable_to(inj->t, lowest, rsp) == rsp;
}

int hp_inject_begin(struct hp_inject *inj, struct hp_target *t, pid_t tid, hp_addr floor,
		    struct hp_err *err)
{
	struct user_regs_struct r;
	int e;

	memset(inj, 0, sizeof(*inj));
	inj->t = t;
	inj->tid = tid;
	e = read_state(inj);
	if (e < 0)
		return hp_err_set(err, -HP_E_GONE, "thread %d has ended", (int)tid);
	inj->filtered = hp_seccomp_filtered(tid);
	if (!find_nothing(inj))
		return hp_err_set(err, -HP_E_TARGET, "seccomp does not let thread %d be borrowed",
				  (int)tid);
	if (dispatches_calls(tid))
		return hp_err_set(err, -HP_E_TARGET,
				  "thread %d has Syscall User Dispatch on (prctl(2)), which would make a "
				  "SIGSYS of a call of hp's",
				  (int)tid);
	if (in_restart(&inj->saved) && !original_call(inj, &inj->call))
		return hp_err_set(err, -HP_E_TARGET, "thread %d is in a restarted call", (int)tid);
	r = self_restoring(inj);
	inj->scratch = (inj->saved.rsp - HP_RED_ZONE - HP_INJECT_SCRATCH) & ~63ull;
	e = hp_sigframe_build(&inj->image, inj->scratch, &r, inj->mask, inj->xstate, inj->xstate_n,
			      t->restorer);
	if (e < 0)
		return hp_err_sys(err, -e, "signal frame for thread %d", (int)tid);
	inj->frame = inj->back = inj->image.frame;
	if (!has_room(inj, floor))
		return hp_err_set(err, -HP_E_TARGET, "the stack of thread %d has no room",
				  (int)tid);
	e = hp_mem_poke(t, inj->image.base, inj->image.bytes, inj->image.n, err);
	return e < 0 ? e : hp_fault(HP_FAULT_BORROWED, err);
}

int64_t hp_inject_syscall(struct hp_inject *inj, long nr, const uint64_t args[6])
{
	struct hp_drive d = {.tid = inj->tid,
			     .regs = inj->saved,
			     .gadget = inj->t->gadget,
			     .child = &inj->child};

	if (inj->filtered &&
	    !hp_seccomp_allows(inj->tid, inj->t->gadget + SYSCALL_INSN_LEN, nr, args))
		return -EPERM;
	d.regs.rsp = inj->back;
	if (hp_drive_prepare(&d, nr, args) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, inj->tid, sizeof(all_signals), &all_signals))
		return -HP_E_GONE;
	hp_fault_pass(HP_FAULT_BORROW_CALL);
	return hp_drive_run(&d);
}

/* Registers with a restart in them count only where the kernel looks for signals: an event stop. */
static int to_event_stop(pid_t tid)
{
	int status, deliver = 0;

	for (int stops = 0; stops < STOPS_MAX; stops++) {
		if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) ||
		    ptrace(PTRACE_CONT, tid, NULL, deliver) || hp_thread_wait(tid, &status) < 0)
			return -HP_E_GONE;
		if (status >> 16 == PTRACE_EVENT_STOP)
			return 0;
		deliver = status >> 16 == 0 && WSTOPSIG(status) == SIGSTOP ? SIGSTOP : 0;
	}
	return -HP_E_GONE;
}

int hp_inject_abandon(struct hp_inject *inj)
{
	struct user_regs_struct r = inj->saved;

	/* At the gadget's `ret`, which leads into the frame.  At the entry of a call another one is
	 * made, not none (-1): that is what a seccomp filter would kill for. */
	r.rip = inj->t->gadget + HP_GADGET_RET;
	r.rsp = inj->frame;
	r.rax = 0; /* not a restart */
	r.orig_rax = (uint64_t)inj->nothing;
	r.eflags &= ~(uint64_t)EFLAGS_TRAP;
	return hp_thread_set_regs(inj->tid, &r) < 0 ? -HP_E_GONE : to_event_stop(inj->tid);
}

static void pass_signals_on(const struct hp_inject *inj)
{
	for (int sig = 1; sig <= 64; sig++)
		if (inj->pass_on & (1ull << (sig - 1)))
			(void)syscall(SYS_tgkill, inj->t->pid, inj->tid,
				      sig); /* it may have died */
}

int hp_inject_end(struct hp_inject *inj)
{
	struct iovec io = {inj->xstate, inj->xstate_n};

	/* A restart block that the injected code overwrote would restart that code's call. */
	if (inj->restart_block && -(int64_t)inj->saved.rax == ERESTART_RESTARTBLOCK) {
		inj->saved.rax = (uint64_t)-ERESTARTNOHAND;
		inj->saved.orig_rax = inj->call;
	}
	if (to_event_stop(inj->tid) < 0 ||
	    (inj->called && ptrace(PTRACE_SETREGSET, inj->tid, NT_X86_XSTATE, &io)) ||
	    ptrace(PTRACE_SETSIGMASK, inj->tid, sizeof(inj->mask), &inj->mask))
		return -HP_E_GONE;
	hp_fault_pass(HP_FAULT_BORROW_MASK);
	if (hp_thread_set_regs(inj->tid, &inj->saved) < 0)
		return -HP_E_GONE;
	hp_fault_pass(HP_FAULT_BORROW_REGS);
	if (ptrace(PTRACE_DETACH, inj->tid, NULL, NULL))
		return -HP_E_GONE;
	pass_signals_on(inj);
	return 0;
}
