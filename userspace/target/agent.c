/* SPDX-License-Identifier: MIT */
#include "target/agent.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "target/agent_priv.h"
#include "target/borrow_priv.h"
#include "target/drive.h"
#include "target/give.h"
#include "target/pidns.h"
#include "target/procfs.h"
#include "target/seccomp.h"
#include "target/threads.h"

#define FRAME_BELOW  1024 /* the agent's frame, below the borrowed thread's; keeps its alignment */
#define SCRATCH_SIZE HP_PAGE
#define SCRATCH_OWN  512 /* at the end of the scratch page, for hp_agent_give_fd() */
_Static_assert(SCRATCH_OWN >= HP_GIVE_ROOM, "has that room");
#define STACK_SIZE   (4 * HP_PAGE)
#define AREA_SIZE    (SCRATCH_SIZE + STACK_SIZE)
_Static_assert(AREA_SIZE == HP_AGENT_BYTES, "as agent.h says");
#define REAP_NS	     (2 * HP_S)
#define CALL_NS	     (100 * HP_MS)
#define STOPS_MAX    1000
#define GADGET_LEN   2 /* rip after its system call instruction */
#define DESCRIPTORS  4 /* at most that many at once */
#define NAME_ROOM    64
_Static_assert(sizeof(HP_AGENT_NAME) <= NAME_ROOM, "fits");

struct hp_agent {
	struct hp_target *t;
	struct hp_looker *l;
	pid_t tid;
	bool gone;    /* it died */
	bool sharing; /* the target's descriptors */
	uint64_t borrowed_ns;
	struct hp_drive drive;
	struct hp_give give;
	hp_addr area; /* scratch page, then a stack for resolvers; 0: not mapped */
};

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
	return (struct hp_range){a->area, a->area + AREA_SIZE};
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
	int64_t r = a->gone ? -HP_E_GONE : hp_drive_syscall(&a->drive, nr, args);

	a->gone |= r == -HP_E_GONE;
	return r;
}

/* The sentence for a call of the agent's that failed; 0 for one that did not. */
static int said(const struct hp_agent *a, int64_t r, const char *what, struct hp_err *err)
{
	if (r == -HP_E_GONE)
		return hp_err_set(err, -HP_E_GONE, "the agent in process %d (%s) ended", (int)a->t->pid,
				  a->t->comm);
	if (r < 0)
		return hp_err_sys(err, (int)-r, "%s in process %d (%s)", what, (int)a->t->pid,
				  a->t->comm);
	return 0;
}

/* The two calls that a thread of the target makes for hp. */
static int refuse_filter(const struct hp_agent *a, const struct hp_inject *inj,
			 const uint64_t clone_args[6], struct hp_err *err)
{
	const uint64_t wait_args[6] = {0, 0, __WALL | WNOHANG};
	hp_addr after = a->t->gadget + GADGET_LEN;
	const char *what = NULL;

	if (!inj->filtered)
		return 0;
	if (!hp_seccomp_allows(inj->tid, after, SYS_clone, clone_args))
		what = "clone";
	else if (!hp_seccomp_allows(inj->tid, after, SYS_wait4, wait_args))
		what = "wait4";
	if (!what)
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "the seccomp filter of process %d (%s) does not allow %s, which hp needs; "
			  "allow it there",
			  (int)a->t->pid, a->t->comm, what);
}

/* Every step of hp's waits for the agent to run once: it must not queue behind the target's own
 * threads.  It runs for microseconds at a time.  Where it is not allowed, hp is slower. */
static void hurry(pid_t tid)
{
	const struct sched_param lowest = {.sched_priority = 1};

	if (sched_setscheduler(tid, SCHED_FIFO, &lowest))
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
		return said(a, r < 0 ? r : -HP_E_GONE, "clone of the agent", err);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) may not have one more process, which hp needs for a moment: "
			  "RLIMIT_NPROC of user %d or pids.max of its cgroup is exhausted",
			  (int)a->t->pid, a->t->comm, (int)a->t->uid);
}

/* Leaves the agent stopped with its own frame: undriven, it exits. */
static int bear(struct hp_agent *a, struct hp_borrow *b, struct hp_err *err)
{
	struct hp_inject *inj = &b->inj;
	hp_addr at = inj->frame - FRAME_BELOW;
	const uint64_t args[6] = {CLONE_VM | CLONE_FILES, at};
	int64_t child;
	int r = refuse_filter(a, inj, args, err);

	if (r == 0)
		r = refuse_namespace(a, inj->tid, err);
	if (r < 0)
		return r;
	hp_sigframe_retarget(&inj->image, a->t->gadget, at, SYS_exit, HP_AGENT_UNDRIVEN, ~0ull);
	r = hp_mem_write(a->t, at, inj->image.bytes, HP_SIGFRAME_UC, err);
	if (r == 0)
		r = hp_mem_write(a->t, inj->scratch, HP_AGENT_NAME, sizeof(HP_AGENT_NAME), err);
	if (r < 0)
		return r;
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
		return said(a, -HP_E_GONE, "", err);
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
	r = hp_mem_write(a->t, room, &l, sizeof(l), err);
	return r < 0 ? r : said(a, hp_agent_syscall(a, SYS_setrlimit, RLIMIT_NOFILE, room, 0, 0, 0, 0),
				"setrlimit", err);
}

/* What has to be done while the borrowed stack is still ours, which has the agent's name at @name.
 * *fd: the memfd. */
static int settle(struct hp_agent *a, hp_addr name, int *fd, struct hp_err *err)
{
	int64_t r;

	/* First: it must not hold the target's descriptors, or a close there would send no EOF.  (One
	 * table that is shared is no second holder.) */
	r = a->sharing ? 0 : hp_agent_syscall(a, SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE, 0, 0, 0);
	if (r < 0)
		return said(a, r, "close_range", err);
	r = hp_fault(HP_FAULT_AGENT_ALONE, err);
	if (r == 0)
		r = allow_descriptors(a, name + NAME_ROOM, err);
	if (r < 0)
		return (int)r;
	r = hp_agent_syscall(a, SYS_prctl, PR_SET_NAME, name, 0, 0, 0, 0);
	if (r < 0)
		return said(a, r, "prctl", err);
	r = hp_agent_syscall(a, SYS_memfd_create, name, MFD_CLOEXEC, 0, 0, 0, 0);
	*fd = (int)r;
	return said(a, r, "memfd_create", err);
}

/* mmap(2) says EAGAIN for nothing else. */
static int not_mapped(const struct hp_agent *a, int64_t r, struct hp_err *err)
{
	if (r != -EAGAIN)
		return said(a, r, "mmap", err);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) keeps all its memory locked (mlockall), and RLIMIT_MEMLOCK "
			  "leaves no room for the patch",
			  (int)a->t->pid, a->t->comm);
}

static int map_area(struct hp_agent *a, int fd, struct hp_err *err)
{
	int64_t r = hp_agent_syscall(a, SYS_ftruncate, (uint64_t)fd, AREA_SIZE, 0, 0, 0, 0);

	if (r < 0)
		return said(a, r, "ftruncate", err);
	r = hp_agent_syscall(a, SYS_mmap, 0, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			     (uint64_t)fd, 0);
	if (r < 0)
		return not_mapped(a, r, err);
	a->area = (hp_addr)r;
	/* A child forked meanwhile must not keep it. */
	r = hp_agent_syscall(a, SYS_madvise, a->area, AREA_SIZE, MADV_DONTFORK, 0, 0, 0);
	if (r < 0)
		return said(a, r, "madvise", err);
	return said(a, hp_agent_syscall(a, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0), "close", err);
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

static int start_new(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l, bool sharing,
		     uint64_t deadline_ns, struct hp_err *err)
{
	struct hp_agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return hp_err_sys(err, ENOMEM, "agent for process %d", (int)t->pid);
	a->t = t;
	a->l = l;
	a->sharing = sharing;
	a->give.sock = -1;
	r = start(a, deadline_ns, err);
	if (r < 0) {
		(void)hp_agent_end(a, NULL); /* the first failure is the one to be told */
		return r;
	}
	*ret = a;
	return 0;
}

int hp_agent_start(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l,
		   uint64_t deadline_ns, struct hp_err *err)
{
	return start_new(ret, t, l, false, deadline_ns, err);
}

int hp_agent_start_sharing(struct hp_agent **ret, struct hp_target *t, uint64_t deadline_ns,
			   struct hp_err *err)
{
	return start_new(ret, t, NULL, true, deadline_ns, err);
}

static void make_exit(struct hp_agent *a)
{
	struct user_regs_struct r = a->drive.regs;
	int status;

	r.rip = a->t->gadget;
	r.rax = SYS_exit;
	r.orig_rax = (uint64_t)-1;
	r.rdi = 0;
	if (a->gone || hp_thread_set_regs(a->tid, &r) < 0) {
		(void)waitpid(a->tid, &status, __WALL | WNOHANG); /* our share of a dead one */
		return;
	}
	for (int stops = 0; stops < STOPS_MAX; stops++)
		if (ptrace(PTRACE_CONT, a->tid, NULL, NULL) || hp_thread_wait(a->tid, &status) < 0)
			return;
}

/* @memory: the agent died without having unmapped its own. */
static int reap(struct hp_agent *a, bool memory, struct hp_err *err)
{
	const pid_t nr = hp_pidns_seen_by(a->t->pid, a->tid);
	const uint64_t args[6] = {(uint64_t)nr, 0, __WALL | WNOHANG};
	const uint64_t unmap[6] = {a->area, AREA_SIZE};
	struct hp_borrow *b;
	int64_t n;
	int r = hp_fault(HP_FAULT_AGENT_DEAD, err);

	if (!nr && !memory) /* a wait of the target's own was first, or its end */
		return hp_target_check(a->t, err);
	if (r == 0)
		r = hp_borrow_begin(&b, a->t, a->l, HP_BORROW_SYSCALL, hp_now_ns() + REAP_NS, err);
	if (r)
		return r == -HP_E_GONE
			       ? r
			       : hp_err_prefix(err, r, "the dead agent %d is left to be reaped",
					       (int)a->tid);
	n = nr ? hp_borrow_syscall(b, SYS_wait4, args) : 0;
	if (memory)
		(void)hp_borrow_syscall(b, SYS_munmap, unmap); /* what stays a recovery finds */
	hp_fault_pass(HP_FAULT_AGENT_REAPED);
	r = hp_borrow_end(b, err);
	if (r == 0 && n != nr)
		hp_debug("agent: wait4(%d) = %lld", (int)nr, (long long)n);
	return r;
}

int hp_agent_end(struct hp_agent *a, struct hp_err *err)
{
	bool memory;
	int r = 0;

	if (!a)
		return 0;
	hp_fault_pass(HP_FAULT_AGENT_ENDING);
	if (a->sharing && !a->gone)
		a->gone = hp_give_end(&a->give, &a->drive) < 0;
	memory = a->area && hp_agent_syscall(a, SYS_munmap, a->area, AREA_SIZE, 0, 0, 0, 0) < 0;
	if (a->tid) {
		make_exit(a);
		r = reap(a, memory, err);
	}
	hp_close(&a->give.sock);
	free(a);
	return r;
}

int hp_agent_give_fd(struct hp_agent *a, int fd, struct hp_err *err)
{
	int r;

	if (a->gone)
		return said(a, -HP_E_GONE, "", err);
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
		return not_mapped(a, r, err);
	if ((hp_addr)r == at)
		return 0;
	if (r >= 0)
		(void)hp_agent_syscall(a, SYS_munmap, (uint64_t)r, n, 0, 0, 0, 0); /* elsewhere: no use */
	return hp_err_set(err, -HP_E_PLACE, "process %d: 0x%llx is taken", (int)a->t->pid,
			  (unsigned long long)at);
}

int hp_agent_unmap(struct hp_agent *a, hp_addr at, size_t n, struct hp_err *err)
{
	return said(a, hp_agent_syscall(a, SYS_munmap, at, n, 0, 0, 0, 0), "munmap", err);
}

int hp_agent_protect(struct hp_agent *a, hp_addr at, size_t n, int prot, struct hp_err *err)
{
	return said(a, hp_agent_syscall(a, SYS_mprotect, at, n, (uint64_t)prot, 0, 0, 0), "mprotect",
		    err);
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
	int e = hp_mem_write(a->t, sp, &back, sizeof(back), err);

	r.rip = fn;
	r.rsp = sp;
	r.rax = 0;
	r.rdi = args[0];
	r.rsi = args[1];
	r.orig_rax = (uint64_t)-1;
	if (e == 0 && hp_thread_set_regs(a->tid, &r) < 0)
		e = said(a, -HP_E_GONE, "", err);
	return e;
}

static int interrupt_call(struct hp_agent *a, hp_addr fn, struct hp_err *err)
{
	int status;

	if (ptrace(PTRACE_INTERRUPT, a->tid, NULL, NULL) || hp_thread_wait(a->tid, &status) < 0) {
		a->gone = true;
		return said(a, -HP_E_GONE, "", err);
	}
	return call_failed(a, fn, "was not back in 100 ms", err);
}

/* It is back when it stands behind the int3 at @back, whose signal is not delivered.  No system call
 * is made of the return: a filter of the target's might kill for it. */
int hp_agent_call(struct hp_agent *a, hp_addr fn, const uint64_t args[2], hp_addr back,
		  uint64_t *ret_value, struct hp_err *err)
{
	hp_addr sp = a->area + AREA_SIZE - 64 - sizeof(uint64_t);
	uint64_t deadline_ns = hp_now_ns() + CALL_NS;
	struct user_regs_struct r;
	int status, e;

	e = start_call(a, fn, args, back, sp, err);
	if (e < 0)
		return e;
	for (int stops = 0; stops < STOPS_MAX; stops++) {
		e = ptrace(PTRACE_CONT, a->tid, NULL, NULL)
			    ? -ESRCH
			    : hp_thread_wait_until(a->tid, &status, deadline_ns);
		if (e == -ETIMEDOUT)
			return interrupt_call(a, fn, err);
		if (e < 0 || hp_thread_regs(a->tid, &r) < 0) {
			a->gone = true;
			return said(a, -HP_E_GONE, "", err);
		}
		if (WSTOPSIG(status) == SIGTRAP && r.rip == back + 1 && r.rsp == sp + sizeof(back)) {
			*ret_value = r.rax;
			return 0;
		}
		if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
			return call_failed(a, fn, "crashed", err);
	}
	return interrupt_call(a, fn, err);
}
