/* SPDX-License-Identifier: MIT */
#include "target/agent.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/near.h"
#include "hp/err.h"
#include "target/agent_priv.h"
#include "target/threads.h"

#define SCRATCH_SIZE HP_PAGE
#define SCRATCH_OWN  512 /* at the end of the scratch page, for hp_agent_give_fd() */
_Static_assert(SCRATCH_OWN >= HP_GIVE_ROOM, "has that room");
#define CALL_NS   (100 * HP_MS) /* of its CPU time */
#define STUCK_NS  (10 * HP_S)
#define STOPS_MAX 1000

pid_t hp_agent_tid(const struct hp_agent *a)
{
	return a->tid;
}

uint64_t hp_agent_borrowed_ns(const struct hp_agent *a)
{
	return a->borrowed_ns;
}

struct hp_range hp_agent_area(const struct hp_agent *a)
{
	return (struct hp_range){a->area, a->area + HP_AGENT_BYTES};
}

hp_addr hp_agent_scratch(const struct hp_agent *a, size_t *n)
{
	*n = SCRATCH_SIZE - SCRATCH_OWN;
	return a->area;
}

int64_t hp_agent_syscall(struct hp_agent *a, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			 uint64_t a3, uint64_t a4, uint64_t a5)
{
	const uint64_t args[6] = {a0, a1, a2, a3, a4, a5};
	int64_t r;

	if (a->gone)
		return -HP_E_GONE;
	hp_draw_near(a->tid, &a->cpu);
	r = hp_drive_syscall(&a->drive, nr, args);
	a->gone |= r == -HP_E_GONE;
	return r;
}

int hp_agent_said(const struct hp_agent *a, int64_t r, const char *what, struct hp_err *err)
{
	if (r == -HP_E_GONE)
		return hp_err_set(err, -HP_E_GONE, "the agent in process %d (%s) ended",
				  (int)a->t->pid, a->t->comm);
	if (r < 0)
		return hp_err_sys(err, (int)-r, "%s in process %d (%s)", what, (int)a->t->pid,
				  a->t->comm);
	return 0;
}

/* mmap(2) says EAGAIN for nothing else. */
int hp_agent_not_mapped(const struct hp_agent *a, int64_t r, struct hp_err *err)
{
	if (r != -EAGAIN)
		return hp_agent_said(a, r, "mmap", err);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) keeps all its memory locked (mlockall), and RLIMIT_MEMLOCK "
			  "leaves no room for the patch",
			  (int)a->t->pid, a->t->comm);
}

int hp_agent_give_fd(struct hp_agent *a, int fd, struct hp_err *err)
{
	int r;

	if (a->gone)
		return hp_agent_said(a, -HP_E_GONE, "", err);
	a->give.process = a->tid;
	a->give.room = a->area + SCRATCH_SIZE - SCRATCH_OWN;
	r = hp_give_fd(&a->give, &a->drive, fd, err);
	a->gone |= r == -HP_E_GONE;
	return r;
}

int hp_agent_close_fd(struct hp_agent *a, int agent_fd)
{
	return (int)hp_agent_syscall(a, SYS_close, (uint64_t)agent_fd, 0, 0, 0, 0, 0);
}

int hp_agent_map(struct hp_agent *a, hp_addr at, size_t n, int prot, int flags, int agent_fd,
		 uint64_t offset, struct hp_err *err)
{
	int64_t r = hp_agent_syscall(a, SYS_mmap, at, n, (uint64_t)prot, (uint64_t)flags,
				     (uint64_t)agent_fd, offset);

	if (r < 0 && r != -EEXIST)
		return hp_agent_not_mapped(a, r, err);
	if ((hp_addr)r == at)
		return 0;
	if (r >= 0)
		(void)hp_agent_syscall(a, SYS_munmap, (uint64_t)r, n, 0, 0, 0, 0); /* elsewhere: no use */
	return hp_err_set(err, -HP_E_PLACE, "process %d: 0x%llx is taken", (int)a->t->pid,
			  (unsigned long long)at);
}

int hp_agent_unmap(struct hp_agent *a, hp_addr at, size_t n, struct hp_err *err)
{
	return hp_agent_said(a, hp_agent_syscall(a, SYS_munmap, at, n, 0, 0, 0, 0), "munmap", err);
}

int hp_agent_protect(struct hp_agent *a, hp_addr at, size_t n, int prot, struct hp_err *err)
{
	return hp_agent_said(a, hp_agent_syscall(a, SYS_mprotect, at, n, (uint64_t)prot, 0, 0, 0),
			     "mprotect", err);
}

static int call_failed(struct hp_agent *a, hp_addr fn, const char *what, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_RELOC, "the code at 0x%llx of process %d, run by hp's agent, %s",
			  (unsigned long long)fn, (int)a->t->pid, what);
}

static int start_call(struct hp_agent *a, hp_addr fn, const uint64_t args[2], hp_addr back,
		      hp_addr sp, struct hp_err *err)
{
	struct user_regs_struct r = a->drive.regs;
	int e = hp_mem_poke(a->t, sp, &back, sizeof(back), err);

	r.rip = fn;
	r.rsp = sp;
	r.rax = 0;
	r.rdi = args[0];
	r.rsi = args[1];
	r.orig_rax = (uint64_t)-1;
	if (e == 0 && hp_thread_set_regs(a->tid, &r) < 0)
		e = hp_agent_said(a, -HP_E_GONE, "", err);
	return e;
}

static int interrupt_call(struct hp_agent *a, hp_addr fn, struct hp_err *err)
{
	int status;

	if (ptrace(PTRACE_INTERRUPT, a->tid, NULL, NULL) || hp_thread_wait(a->tid, &status) < 0) {
		a->gone = true;
		return hp_agent_said(a, -HP_E_GONE, "", err);
	}
	return call_failed(a, fn, "was not back in time", err);
}

/* Which a busy machine, or its group's quota (cpu.max), may give it late. */
static uint64_t cpu_ns(pid_t pid)
{
	struct timespec t = {0};
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) == 0)
		(void)clock_gettime(clock, &t); /* one that has ended is waited for all the same */
	return (uint64_t)t.tv_sec * HP_S + (uint64_t)t.tv_nsec;
}

static int wait_for_stop(const struct hp_agent *a, uint64_t cpu_end_ns, uint64_t deadline_ns,
			 int *status)
{
	int e;

	do
		e = hp_thread_wait_until(a->tid, status, hp_now_ns() + CALL_NS);
	while (e == -ETIMEDOUT && cpu_ns(a->tid) < cpu_end_ns && hp_now_ns() < deadline_ns);
	return e;
}

/* It is back when it stands behind the int3 at @back, whose signal is not delivered.  No system call
 * is made of the return: a filter of the target's might kill for it. */
int hp_agent_call(struct hp_agent *a, hp_addr fn, const uint64_t args[2], hp_addr back,
		  uint64_t *ret_value, struct hp_err *err)
{
	hp_addr sp = a->area + HP_AGENT_BYTES - 64 - sizeof(uint64_t);
	uint64_t deadline_ns = hp_now_ns() + STUCK_NS, cpu_end_ns = cpu_ns(a->tid) + CALL_NS;
	struct user_regs_struct r;
	int status, e;

	e = start_call(a, fn, args, back, sp, err);
	if (e < 0)
		return e;
	for (int stops = 0; stops < STOPS_MAX; stops++) {
		e = ptrace(PTRACE_CONT, a->tid, NULL, NULL)
			    ? -ESRCH
			    : wait_for_stop(a, cpu_end_ns, deadline_ns, &status);
		if (e == -ETIMEDOUT)
			return interrupt_call(a, fn, err);
		if (e < 0 || hp_thread_regs(a->tid, &r) < 0) {
			a->gone = true;
			return hp_agent_said(a, -HP_E_GONE, "", err);
		}
		if (WSTOPSIG(status) == SIGTRAP && r.rip == back + 1 &&
		    r.rsp == sp + sizeof(back)) {
			*ret_value = r.rax;
			return 0;
		}
		if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
			return call_failed(a, fn, "crashed", err);
	}
	return interrupt_call(a, fn, err);
}
