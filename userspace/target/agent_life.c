/* SPDX-License-Identifier: MIT */
/* target/agent_life.c – an agent's birth, and its end. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/close_range.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/kernel.h"
#include "base/log.h"
#include "hp/err.h"
#include "target/agent.h"
#include "target/agent_priv.h"
#include "target/borrow_priv.h"
#include "target/pidns.h"
#include "target/procfs.h"
#include "target/seccomp.h"
#include "target/threads.h"

#define FRAME_BELOW 1024 /* each of two more below the borrowed thread's; keeps its alignment */
_Static_assert(2 * FRAME_BELOW <= HP_INJECT_BELOW, "they have room");
#define REAP_NS     (2 * HP_S)
#define EXIT_NS     (1 * HP_S)
#define STOPS_MAX   1000
#define GADGET_LEN  2 /* rip after its system call instruction */
#define DESCRIPTORS 4 /* at most that many at once */
#define NAME_ROOM   64
_Static_assert(sizeof(HP_AGENT_NAME) <= NAME_ROOM, "fits");

static const uint64_t undriven[6] = {HP_AGENT_UNDRIVEN};
/* There is no process of that number, and wait4(2) says so at once. */
static const uint64_t wait_for_none[6] = {(uint32_t)INT_MIN, 0, __WALL};

/* The calls that a thread of the target makes for hp. */
static int refuse_filter(const struct hp_agent *a, const struct hp_inject *inj,
			 const uint64_t clone_args[6], struct hp_err *err)
{
	const uint64_t later[6] = {0, 0, __WALL | WNOHANG};
	hp_addr after = a->t->gadget + GADGET_LEN;
	const char *what = NULL;

	if (!inj->filtered)
		return 0;
	if (!hp_seccomp_allows(inj->tid, after, SYS_clone, clone_args))
		what = "clone";
	else if (!hp_seccomp_allows(inj->tid, after, SYS_wait4, wait_for_none) ||
		 !hp_seccomp_allows(inj->tid, after, SYS_wait4, later))
		what = "wait4";
	if (!what)
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "the seccomp filter of process %d (%s) does not allow %s, which hp needs; "
			  "allow it there",
			  (int)a->t->pid, a->t->comm, what);
}

/* Every step of hp's waits for the agent to run once: it must not queue behind the target's own
 * threads.  It runs for microseconds at a time.  Where it is not allowed, hp is slower.  What code of the
 * target's forks there (a resolver, or whatever it puts in hp's way) is to have nothing of it. */
static void hurry(pid_t tid)
{
	const struct sched_param lowest = {.sched_priority = 1};

	if (sched_setscheduler(tid, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest))
		hp_debug("agent %d runs at the target's own priority", (int)tid);
}

static int refuse_namespace(const struct hp_agent *a, pid_t tid, struct hp_err *err)
{
	if (!hp_pidns_unborn(a->t->pid, tid))
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "the next child of process %d (%s) is the first of its new pid namespace, "
			  "so hp may not make one there; try again when it has forked",
			  (int)a->t->pid, a->t->comm);
}

static int not_born(const struct hp_agent *a, int64_t r, struct hp_err *err)
{
	if (r != -EAGAIN)
		return hp_agent_said(a, r < 0 ? r : -HP_E_GONE, "clone of the agent", err);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) may not have one more process, which hp needs for a moment: "
			  "RLIMIT_NPROC of user %d or pids.max of its cgroup is exhausted",
			  (int)a->t->pid, a->t->comm, (int)a->t->uid);
}

/* A frame of another kind, for whoever is not driven any more. */
static int write_frame(const struct hp_agent *a, struct hp_inject *inj, hp_addr at, hp_addr then,
		       long nr, const uint64_t args[6], struct hp_err *err)
{
	hp_sigframe_retarget(&inj->image, a->t->gadget, then, nr, args);
	return hp_mem_poke(a->t, at, inj->image.bytes, HP_SIGFRAME_UC, err);
}

/* Leaves the agent stopped with its own frame: undriven, it exits.  And a thread that hp does not
 * drive any more, because it was killed, may make its clone later than anybody looks for agents.  So it
 * returns into its own frame by way of another, by which it waits for the agent to end: the kernel puts
 * the number there.  So the stack on which the agent's frame lies is not used as long as that is. */
static int bear(struct hp_agent *a, struct hp_borrow *b, struct hp_err *err)
{
	struct hp_inject *inj = &b->inj;
	hp_addr at = inj->frame - FRAME_BELOW, wait = at - FRAME_BELOW;
	const uint64_t args[6] = {CLONE_VM | CLONE_FILES | CLONE_PARENT_SETTID, at,
				  wait + HP_SIGFRAME_DI};
	int64_t child;
	int r = refuse_filter(a, inj, args, err);

	if (r == 0)
		r = refuse_namespace(a, inj->tid, err);
	if (r < 0)
		return r;
	r = write_frame(a, inj, at, at, SYS_exit, undriven, err);
	if (r == 0)
		r = write_frame(a, inj, wait, inj->frame, SYS_wait4, wait_for_none, err);
	if (r == 0)
		r = hp_mem_poke(a->t, inj->scratch, HP_AGENT_NAME, sizeof(HP_AGENT_NAME), err);
	if (r < 0)
		return r;
	inj->back = wait;
	child = hp_borrow_syscall(b, SYS_clone, args);
	if (child < 0 || !inj->child)
		return not_born(a, child, err);
	a->tid = inj->child;
	hurry(a->tid);
	/* What it inherited is the target's filter. */
	a->drive = (struct hp_drive){.tid = a->tid,
				     .options = HP_AGENT_OPTIONS,
				     .gadget = a->t->gadget,
				     .filtered = inj->filtered,
				     .swallow = true,
				     .step = !inj->filtered};
	if (hp_thread_regs(a->tid, &a->drive.regs) < 0)
		return hp_agent_said(a, -HP_E_GONE, "", err);
	return hp_fault(HP_FAULT_AGENT_BORN, err);
}

/* Its descriptors are its own, and so is this limit: the target may have none left. */
static int allow_descriptors(struct hp_agent *a, hp_addr room, struct hp_err *err)
{
	uint64_t soft, hard;
	struct rlimit l;
	int r;

	if (!hp_limit_read(a->tid, "Max open files", &soft, &hard) || soft >= DESCRIPTORS)
		return 0;
	if (hard < DESCRIPTORS)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d (%s) and its children may have fewer than the %d "
				  "descriptors that hp needs for a moment (RLIMIT_NOFILE, the hard limit)",
				  (int)a->t->pid, a->t->comm, DESCRIPTORS);
	l = (struct rlimit){DESCRIPTORS, hard};
	r = hp_mem_poke(a->t, room, &l, sizeof(l), err);
	if (r < 0)
		return r;
	return hp_agent_said(a, hp_agent_syscall(a, SYS_setrlimit, RLIMIT_NOFILE, room, 0, 0, 0, 0),
			     "setrlimit", err);
}

/* What has to be done while the borrowed stack is still ours, which has the agent's name at @name.
 * *fd: the memfd. */
static int settle(struct hp_agent *a, hp_addr name, int *fd, struct hp_err *err)
{
	int64_t r;

	/* First: it must not hold the target's descriptors, or a close there would send no EOF.  (One
	 * table that is shared is no second holder.) */
	r = a->sharing ? 0
		       : hp_agent_syscall(a, SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE, 0, 0, 0);
	if (r < 0)
		return hp_agent_said(a, r, "close_range", err);
	r = hp_fault(HP_FAULT_AGENT_ALONE, err);
	if (r == 0)
		r = allow_descriptors(a, name + NAME_ROOM, err);
	if (r < 0)
		return (int)r;
	r = hp_agent_syscall(a, SYS_prctl, PR_SET_NAME, name, 0, 0, 0, 0);
	if (r < 0)
		return hp_agent_said(a, r, "prctl", err);
	r = hp_agent_syscall(a, SYS_memfd_create, name, MFD_CLOEXEC | HP_MFD_NOEXEC_SEAL, 0, 0, 0, 0);
	if (r == -EINVAL) /* as hp_memfd() */
		r = hp_agent_syscall(a, SYS_memfd_create, name, MFD_CLOEXEC, 0, 0, 0, 0);
	*fd = (int)r;
	return hp_agent_said(a, r, "memfd_create", err);
}

static int map_area(struct hp_agent *a, int fd, struct hp_err *err)
{
	int64_t r = hp_agent_syscall(a, SYS_ftruncate, (uint64_t)fd, HP_AGENT_BYTES, 0, 0, 0, 0);

	if (r < 0)
		return hp_agent_said(a, r, "ftruncate", err);
	r = hp_agent_syscall(a, SYS_mmap, 0, HP_AGENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			     (uint64_t)fd, 0);
	if (r < 0)
		return hp_agent_not_mapped(a, r, err);
	a->area = (hp_addr)r;
	/* A child forked meanwhile must not keep it. */
	r = hp_agent_syscall(a, SYS_madvise, a->area, HP_AGENT_BYTES, MADV_DONTFORK, 0, 0, 0);
	if (r < 0)
		return hp_agent_said(a, r, "madvise", err);
	return hp_agent_said(a, hp_agent_syscall(a, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0),
			     "close", err);
}

static int start(struct hp_agent *a, uint64_t deadline_ns, struct hp_err *err)
{
	struct hp_borrow *b;
	uint64_t since;
	int fd = -1, r, e;

	r = hp_borrow_begin(&b, a->t, a->l, HP_BORROW_SYSCALL, deadline_ns, err);
	if (r < 0)
		return r;
	r = bear(a, b, err);
	if (r == 0)
		r = settle(a, b->inj.scratch, &fd, err);
	since = hp_borrow_since_ns(b);
	e = hp_borrow_end(b, r < 0 ? NULL : err);
	a->borrowed_ns = hp_now_ns() - since;
	if (r == 0)
		r = e;
	if (r == 0)
		r = map_area(a, fd, err);
	return r < 0 ? r : hp_fault(HP_FAULT_AGENT_READY, err);
}

/* False: it is alive: where it was to call exit(2) there is something else by now. */
static bool runs_to_its_end(const struct hp_agent *a)
{
	int status;

	for (int stops = 0; stops < STOPS_MAX; stops++) {
		int r = ptrace(PTRACE_CONT, a->tid, NULL, NULL)
				? -ESRCH
				: hp_thread_wait_until(a->tid, &status, hp_now_ns() + EXIT_NS);

		if (r < 0)
			return r == -ESRCH;
	}
	return false;
}

/* Or it would go on, ahead of everybody else, for as long as hp lives.  It is a process of its own, so
 * nobody else ends with it; and until hp has waited for it the number is its own. */
static void kill_living(const struct hp_agent *a)
{
	uint64_t end_ns = hp_now_ns() + EXIT_NS;
	int status, r = hp_thread_wait_until(a->tid, &status, 0); /* our share of a dead one */

	if (r == -ESRCH)
		return;
	hp_debug("agent %d does not end: it is killed", (int)a->tid);
	(void)kill(a->tid, SIGKILL); /* or it has just ended */
	while (hp_thread_wait_until(a->tid, &status, end_ns) == 0)
		;
}

static void make_exit(const struct hp_agent *a)
{
	struct user_regs_struct r = a->drive.regs;

	r.rip = a->t->gadget;
	r.rax = SYS_exit;
	r.orig_rax = (uint64_t)-1;
	r.rdi = 0;
	if (a->gone || hp_thread_set_regs(a->tid, &r) < 0 || !runs_to_its_end(a))
		kill_living(a);
}

static int reap(struct hp_agent *a, struct hp_err *err)
{
	const pid_t nr = hp_pidns_seen_by(a->t->pid, a->tid);
	const uint64_t args[6] = {(uint64_t)nr, 0, __WALL | WNOHANG};
	struct hp_borrow *b;
	int64_t n;
	int r = hp_fault(HP_FAULT_AGENT_DEAD, err);

	if (!nr) /* a wait of the target's own was first, or its end */
		return hp_target_check(a->t, err);
	if (r == 0)
		r = hp_borrow_begin(&b, a->t, a->l, HP_BORROW_SYSCALL, hp_now_ns() + REAP_NS, err);
	if (r)
		return r == -HP_E_GONE
			       ? r
			       : hp_err_prefix(err, r, "the dead agent %d is left to be reaped",
					       (int)a->tid);
	n = hp_borrow_syscall(b, SYS_wait4, args);
	hp_fault_pass(HP_FAULT_AGENT_REAPED);
	r = hp_borrow_end(b, err);
	if (r == 0 && n != nr)
		hp_debug("agent: wait4(%d) = %lld", (int)nr, (long long)n);
	return r;
}

/* *left: its memory, when it died without having unmapped that; empty else. */
static int end(struct hp_agent *a, struct hp_range *left, struct hp_err *err)
{
	int r = 0;

	hp_fault_pass(HP_FAULT_AGENT_ENDING);
	if (a->sharing && !a->gone)
		a->gone = hp_give_end(&a->give, &a->drive) < 0;
	*left = (struct hp_range){0};
	if (a->area && hp_agent_syscall(a, SYS_munmap, a->area, HP_AGENT_BYTES, 0, 0, 0, 0) < 0)
		*left = hp_agent_area(a);
	if (a->tid) {
		make_exit(a);
		r = reap(a, err);
	}
	hp_close(&a->give.sock);
	free(a);
	return r;
}

static int start_new(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l, bool sharing,
		     uint64_t deadline_ns, struct hp_range *left, struct hp_err *err)
{
	struct hp_agent *a = calloc(1, sizeof(*a));
	int r;

	*left = (struct hp_range){0};
	if (!a)
		return hp_err_sys(err, ENOMEM, "agent for process %d", (int)t->pid);
	a->t = t;
	a->l = l;
	a->sharing = sharing;
	a->give.sock = -1;
	a->cpu = -1;
	r = start(a, deadline_ns, err);
	if (r < 0) {
		(void)end(a, left, NULL); /* the first failure is the one to be told */
		return r;
	}
	*ret = a;
	return 0;
}

/* A borrowed thread does not unmap: should hp be killed, it may do so when a recovery has done it
 * already, and somebody else has mapped something there. */
int hp_agent_unmap_left(struct hp_target *t, struct hp_looker *l, const struct hp_range *left,
			size_t n, struct hp_err *err)
{
	struct hp_range own; /* should this one die as well, a recovery finds it */
	struct hp_agent *a;
	int e, r = start_new(&a, t, l, false, hp_now_ns() + REAP_NS, &own, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = hp_agent_unmap(a, left[i].lo, left[i].hi - left[i].lo, err);
	e = end(a, &own, r < 0 ? NULL : err);
	return r < 0 ? r : e;
}

static int start_clean(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l,
		       bool sharing, uint64_t deadline_ns, struct hp_err *err)
{
	struct hp_range left;
	int r = start_new(ret, t, l, sharing, deadline_ns, &left, err);

	if (r < 0 && left.hi)
		(void)hp_agent_unmap_left(t, l, &left, 1, NULL); /* as above */
	return r;
}

int hp_agent_start(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l,
		   uint64_t deadline_ns, struct hp_err *err)
{
	return start_clean(ret, t, l, false, deadline_ns, err);
}

int hp_agent_start_sharing(struct hp_agent **ret, struct hp_target *t, uint64_t deadline_ns,
			   struct hp_err *err)
{
	return start_clean(ret, t, NULL, true, deadline_ns, err);
}

int hp_agent_end(struct hp_agent *a, struct hp_err *err)
{
	struct hp_target *t = a ? a->t : NULL;
	struct hp_looker *l = a ? a->l : NULL;
	struct hp_range left;
	int r;

	if (!a)
		return 0;
	r = end(a, &left, err);
	return r == 0 && left.hi ? hp_agent_unmap_left(t, l, &left, 1, err) : r;
}
