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

#include "hp/err.h"
#include "target/gadget.h"
#include "target/threads.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

#define SYSCALL_STOP	  (SIGTRAP | 0x80) /* with PTRACE_O_TRACESYSGOOD */
#define SYSCALL_INSN_LEN  2
#define MOV_EAX		  0xb8
#define MOV_EAX_LEN	  5
#define EFLAGS_TRAP	  0x100u
#define EFLAGS_DIRECTION  0x400u
#define ERESTARTSYS	  512
#define ERESTARTNOINTR	  513
#define ERESTARTNOHAND	  514
#define ERESTART_RESTARTBLOCK 516
#define STOPS_MAX	  1000 /* stops of other kinds during one call; signals are blocked */

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
	if (in_restart(&inj->saved) && !original_call(inj, &inj->call))
		return hp_err_set(err, -HP_E_TARGET, "thread %d is in a restarted call", (int)tid);
	r = self_restoring(inj);
	inj->scratch = (inj->saved.rsp - HP_RED_ZONE - HP_INJECT_SCRATCH) & ~63ull;
	e = hp_sigframe_build(&inj->image, inj->scratch, &r, inj->mask, inj->xstate, inj->xstate_n,
			      t->restorer);
	if (e < 0)
		return hp_err_sys(err, -e, "signal frame for thread %d", (int)tid);
	inj->frame = inj->image.frame;
	if (inj->saved.rsp < floor || inj->saved.rsp - floor < HP_INJECT_ROOM ||
	    inj->image.base - 2048 < floor)
		return hp_err_set(err, -HP_E_TARGET, "the stack of thread %d has no room", (int)tid);
	return hp_mem_write(t, inj->image.base, inj->image.bytes, inj->image.n, err);
}

static void set_call(struct user_regs_struct *r, hp_addr gadget, long nr, const uint64_t args[6])
{
	r->rip = gadget;
	r->rax = (uint64_t)nr;
	r->orig_rax = (uint64_t)-1; /* so that the kernel restarts nothing */
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
	r->eflags &= ~(uint64_t)(EFLAGS_TRAP | EFLAGS_DIRECTION);
}

/* A clone: the child is born stopped and traced.  It must die with hp before its parent goes on. */
static int take_child(pid_t tid, pid_t *child)
{
	unsigned long id = 0;
	int status;

	if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &id))
		return -HP_E_GONE;
	if (hp_thread_wait((pid_t)id, &status) < 0)
		return 0; /* it was killed; the caller sees that there is none */
	if (ptrace(PTRACE_SETOPTIONS, (pid_t)id, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0)
		*child = (pid_t)id;
	return 0;
}

/* From before the system call to its exit stop. */
static int run_syscall(pid_t tid, pid_t *child)
{
	int status, deliver = 0, seen = 0;

	for (int stops = 0; stops < STOPS_MAX; stops++) {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, deliver))
			return -HP_E_GONE;
		if (hp_thread_wait(tid, &status) < 0)
			return -HP_E_GONE;
		deliver = 0;
		if (WSTOPSIG(status) == SYSCALL_STOP) {
			if (++seen == 2)
				return 0;
		} else if (status >> 16 == PTRACE_EVENT_CLONE && child) {
			if (take_child(tid, child) < 0)
				return -HP_E_GONE;
		} else if (status >> 16 == 0 && !child) {
			continue; /* the agent swallows what cannot be blocked */
		} else if (status >> 16 == 0) {
			deliver = WSTOPSIG(status); /* SIGSTOP: the whole process stops, as it shall */
		}
	}
	return -HP_E_GONE;
}

int64_t hp_drive_syscall(pid_t tid, struct user_regs_struct *regs, hp_addr gadget, long nr,
			 const uint64_t args[6], pid_t *child)
{
	struct user_regs_struct r = *regs;
	int e;

	set_call(&r, gadget, nr, args);
	if (hp_thread_set_regs(tid, &r) < 0)
		return -HP_E_GONE;
	if (child && ptrace(PTRACE_SETSIGMASK, tid, sizeof(all_signals), &all_signals))
		return -HP_E_GONE;
	e = run_syscall(tid, child);
	if (e < 0)
		return e;
	if (hp_thread_regs(tid, &r) < 0)
		return -HP_E_GONE;
	return (int64_t)r.rax;
}

int64_t hp_inject_syscall(struct hp_inject *inj, long nr, const uint64_t args[6])
{
	struct user_regs_struct r = inj->saved;

	r.rsp = inj->frame;
	return hp_drive_syscall(inj->tid, &r, inj->t->gadget, nr, args, &inj->child);
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

	/* At the gadget's `ret`, which leads into the frame.  At an entry the number -1 makes the
	 * kernel skip the call; elsewhere it makes it restart none. */
	r.rip = inj->t->gadget + HP_GADGET_RET;
	r.rsp = inj->frame;
	r.rax = 0;
	r.orig_rax = (uint64_t)-1;
	r.eflags &= ~(uint64_t)EFLAGS_TRAP;
	return hp_thread_set_regs(inj->tid, &r) < 0 ? -HP_E_GONE : to_event_stop(inj->tid);
}

static void pass_signals_on(const struct hp_inject *inj)
{
	for (int sig = 1; sig <= 64; sig++)
		if (inj->pass_on & (1ull << (sig - 1)))
			(void)syscall(SYS_tgkill, inj->t->pid, inj->tid, sig); /* it may have died */
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
	    ptrace(PTRACE_SETSIGMASK, inj->tid, sizeof(inj->mask), &inj->mask) ||
	    hp_thread_set_regs(inj->tid, &inj->saved) < 0)
		return -HP_E_GONE;
	if (ptrace(PTRACE_DETACH, inj->tid, NULL, NULL))
		return -HP_E_GONE;
	pass_signals_on(inj);
	return 0;
}
