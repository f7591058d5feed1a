/* SPDX-License-Identifier: MIT */
#include "target/drive.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/threads.h"

#define SYSCALL_STOP	 (SIGTRAP | 0x80) /* with PTRACE_O_TRACESYSGOOD */
#define EFLAGS_TRAP	 0x100u
#define EFLAGS_DIRECTION 0x400u
#define STUCK_NS	 (10 * HP_S) /* frozen by its cgroup: none of hp's calls waits */
#define STOPS_MAX	 1000 /* stops of other kinds during one call; signals are blocked */

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
static int take_child(const struct hp_drive *d)
{
	unsigned long id = 0;
	int status;

	if (ptrace(PTRACE_GETEVENTMSG, d->tid, NULL, &id))
		return -HP_E_GONE;
	if (hp_thread_wait((pid_t)id, &status) < 0)
		return 0; /* it was killed; the caller sees that there is none */
	if (ptrace(PTRACE_SETOPTIONS, (pid_t)id, NULL, HP_AGENT_OPTIONS) == 0)
		*d->child = (pid_t)id;
	return 0;
}

static bool same_call(const struct user_regs_struct *now, const struct user_regs_struct *want)
{
	return now->orig_rax == want->rax && now->rdi == want->rdi && now->rsi == want->rsi &&
	       now->rdx == want->rdx && now->r10 == want->r10 && now->r8 == want->r8 &&
	       now->r9 == want->r9;
}

static int set_options(const struct hp_drive *d, long more)
{
	if (!d->filtered)
		return 0;
	return ptrace(PTRACE_SETOPTIONS, d->tid, NULL, d->options | more) ? -HP_E_GONE : 0;
}

/* At the entry stop, which comes before seccomp (kernel/entry/common.c): nobody but us can change
 * the registers any more. */
static int at_entry(const struct hp_drive *d)
{
	struct user_regs_struct now;

	if (!d->filtered)
		return 0;
	if (hp_thread_regs(d->tid, &now) < 0 || !same_call(&now, &d->call))
		return -HP_E_GONE;
	return set_options(d, PTRACE_O_SUSPEND_SECCOMP);
}

/* 1: the call is over; 0: it goes on, with *deliver. */
static int at_stop(const struct hp_drive *d, int status, bool *entered, int *deliver)
{
	*deliver = 0;
	/* A step over a system call is reported at its exit (kernel/entry/common.c). */
	if (d->step && status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
		return 1;
	if (WSTOPSIG(status) == SYSCALL_STOP && *entered)
		return set_options(d, 0) ?: 1;
	if (WSTOPSIG(status) == SYSCALL_STOP) {
		*entered = true;
		return at_entry(d);
	}
	if (status >> 16 == PTRACE_EVENT_CLONE && d->child)
		return take_child(d);
	if (status >> 16 == 0 && !d->swallow)
		*deliver = WSTOPSIG(status);
	return 0;
}

/* To the exit stop. */
static int run_on(const struct hp_drive *d, bool entered)
{
	int status, deliver = 0, r;

	for (int stops = 0; stops < STOPS_MAX; stops++) {
		if (ptrace(d->step ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, d->tid, NULL, deliver) ||
		    hp_thread_wait_until(d->tid, &status, hp_now_ns() + STUCK_NS) < 0)
			return -HP_E_GONE;
		r = at_stop(d, status, &entered, &deliver);
		if (r)
			return r < 0 ? r : 0;
	}
	return -HP_E_GONE;
}

int hp_drive_prepare(struct hp_drive *d, long nr, const uint64_t args[6])
{
	d->call = d->regs;
	set_call(&d->call, d->gadget, nr, args);
	return hp_thread_set_regs(d->tid, &d->call) < 0 ? -HP_E_GONE : 0;
}

int64_t hp_drive_run(const struct hp_drive *d)
{
	struct user_regs_struct r;

	if (run_on(d, false) < 0 || hp_thread_regs(d->tid, &r) < 0)
		return -HP_E_GONE;
	return (int64_t)r.rax;
}

int64_t hp_drive_syscall(struct hp_drive *d, long nr, const uint64_t args[6])
{
	int r = hp_drive_prepare(d, nr, args);

	return r < 0 ? r : hp_drive_run(d);
}

int hp_drive_skip(struct hp_drive *d)
{
	d->call = d->regs;
	d->call.orig_rax = (uint64_t)-1;
	/* A filter would be asked about that number.  Where it cannot be suspended, nothing is changed. */
	if (set_options(d, PTRACE_O_SUSPEND_SECCOMP) < 0 || hp_thread_set_regs(d->tid, &d->call) < 0)
		return -HP_E_GONE;
	return run_on(d, true);
}
