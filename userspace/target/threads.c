/* SPDX-License-Identifier: MIT */
/*
 * target/threads.c – some system calls answer a stop with -EINTR and without a restart: signal(7).
 * That is mended at once, so that a controller which dies with threads stopped leaves as few of
 * them with a stray EINTR as can be: none but the one that it was just stopping.
 */
#include "target/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/lifeline.h"
#include "hp/err.h"
#include "target/procfs.h"

/* Mostly a thread stops within microseconds, and stands still until that is seen. */
#define SPIN_NS	       (500 * HP_US)
#define POLL_FIRST_NS  (20 * HP_US)
#define POLL_MAX_NS    (1 * HP_MS)
#define LISTINGS_MAX   16
#define ERESTARTNOHAND 514 /* linux/errno.h: -EINTR to a handler, a restart without one */

/* One that is gone has none. */
static int list_once(pid_t pid, struct hp_pids *ret)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	r = hp_procfs_list(path, ret);
	return r == -ENOMEM ? r : 0;
}

/* Both lists are in nearly the same order: *at, where the last one was found, is tried first. */
static bool listed(const struct hp_pids *in, size_t *at, pid_t tid)
{
	for (size_t k = 0; k < in->n; k++) {
		size_t i = (*at + k) % in->n;

		if (in->v[i] == tid) {
			*at = i + 1;
			return true;
		}
	}
	return false;
}

static bool all_listed(const struct hp_pids *these, const struct hp_pids *in)
{
	size_t at = 0;

	for (size_t i = 0; i < these->n; i++)
		if (!listed(in, &at, these->v[i]))
			return false;
	return true;
}

static int unite(struct hp_pids *to, const struct hp_pids *more)
{
	struct hp_pids before = {to->v, to->n, to->n};
	size_t at = 0;

	for (size_t i = 0; i < more->n; i++) {
		pid_t *v;

		if (listed(&before, &at, more->v[i]))
			continue;
		v = HP_ARRAY_ADD(to);
		if (!v)
			return -ENOMEM;
		*v = more->v[i];
		before.v = to->v;
	}
	return 0;
}

/* A thread that ends while the kernel stands on it cuts a listing short, and what is listed after
 * that leaves one out (fs/proc/base.c, next_tid() and first_tid()).  The next listing is without the
 * thread that ended: so one whose threads are all there again was whole.  Where threads end all the
 * time, whoever was in any of the listings counts. */
int hp_threads_of(pid_t pid, struct hp_pids *ret)
{
	struct hp_pids all = {0}, last = {0};
	bool whole = false;
	int r = 0;

	for (int i = 0; i < LISTINGS_MAX && r == 0 && !whole; i++) {
		struct hp_pids now = {0};

		r = list_once(pid, &now);
		if (r == 0)
			r = unite(&all, &now);
		whole = i > 0 && all_listed(&last, &now);
		hp_pids_free(&last);
		last = now;
	}
	hp_pids_free(&last);
	if (r < 0 || all.n == 0) {
		hp_pids_free(&all);
		return r < 0 ? r : -ESRCH;
	}
	hp_pids_free(ret);
	*ret = all;
	return 0;
}

int hp_threads_list(const struct hp_target *t, struct hp_pids *ret, struct hp_err *err)
{
	int r = hp_threads_of(t->pid, ret);

	if (r == -ESRCH)
		return hp_err_set(err, -HP_E_GONE, "process %d (%s) is gone", (int)t->pid, t->comm);
	return r < 0 ? hp_err_sys(err, -r, "threads of process %d", (int)t->pid) : 0;
}

int hp_thread_wait(pid_t tid, int *status)
{
	pid_t r;

	do
		r = waitpid(tid, status, __WALL);
	while (r < 0 && errno == EINTR);
	return r == tid && WIFSTOPPED(*status) ? 0 : -ESRCH;
}

int hp_thread_wait_until(pid_t tid, int *status, uint64_t deadline_ns)
{
	uint64_t pause = POLL_FIRST_NS, spin_until = hp_now_ns() + SPIN_NS;

	for (;;) {
		pid_t r = waitpid(tid, status, __WALL | WNOHANG);
		uint64_t now;

		if (r == tid)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (r < 0 && errno != EINTR)
			return -ESRCH;
		now = hp_now_ns();
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		if (now < spin_until) {
			(void)sched_yield(); /* cannot fail */
			continue;
		}
		hp_pause_ns(pause);
		if (pause < POLL_MAX_NS)
			pause *= 2;
	}
}

static bool ended(pid_t tid)
{
	struct hp_stat st;

	return hp_stat_read(tid, &st) < 0 || st.state == 'Z' || st.state == 'X';
}

static int seize_failed(pid_t tid, int errnum, struct hp_err *err)
{
	uint64_t tracer = 0;

	/* EPERM is also what a thread gives that has ended but is not reaped (ptrace(2)). */
	if (errnum == ESRCH || ended(tid))
		return hp_err_set(err, -ESRCH, "thread %d has ended", (int)tid);
	if (hp_status_number(tid, "TracerPid", 10, &tracer) && tracer)
		return hp_err_set(err, -HP_E_DENIED,
				  "thread %d is traced by process %d (a debugger?); end that first",
				  (int)tid, (int)tracer);
	return hp_err_set(err, -HP_E_DENIED, "may not trace thread %d: %s", (int)tid,
			  strerror(errnum));
}

/* These answer -EINTR when they are woken for a stop (signal(7), "Interruption of system calls …
 * by stop signals", and those with SO_RCVTIMEO/SO_SNDTIMEO). */
static bool answers_eintr(uint64_t nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
		return true;
	}
	return false;
}

void hp_thread_mend(pid_t tid)
{
	struct user_regs_struct regs;

	if (hp_thread_regs(tid, &regs) < 0 || (int64_t)regs.orig_rax < 0 ||
	    (int64_t)regs.rax != -EINTR || !answers_eintr(regs.orig_rax))
		return;
	regs.rax = (uint64_t)-ERESTARTNOHAND;
	(void)hp_thread_set_regs(tid, &regs); /* fails only if it died */
}

/* Those that hp_thread_leave() was called for; a fork is not their tracer. */
static struct hp_pids left;

void hp_thread_leave(pid_t tid)
{
	pid_t *v = HP_ARRAY_ADD(&left);

	if (v) /* else the end of the process lets it go */
		*v = tid;
}

static bool take_left(pid_t tid)
{
	for (size_t i = 0; i < left.n; i++)
		if (left.v[i] == tid) {
			left.v[i] = left.v[--left.n];
			return true;
		}
	return false;
}

/* 0: at its event stop; a signal that comes first has its handler entered, and the stop follows
 * there. */
static int await_stop(pid_t tid, uint64_t deadline_ns)
{
	for (;;) {
		int status, deliver, r = hp_thread_wait_until(tid, &status, deadline_ns);

		if (r < 0)
			return r;
		if (status >> 16 == PTRACE_EVENT_STOP) {
			hp_thread_mend(tid);
			return 0;
		}
		/* Of one that was left there may be a stop at a system call too. */
		deliver = status >> 16 || WSTOPSIG(status) & 0x80 ? 0 : WSTOPSIG(status);
		(void)ptrace(PTRACE_CONT, tid, NULL, deliver); /* fails only if it died */
	}
}

static void let_left_go(void)
{
	struct hp_pids these = left;

	left = (struct hp_pids){0};
	for (size_t i = 0; i < these.n; i++) {
		int r = await_stop(these.v[i], 0);

		if (r == 0)
			(void)ptrace(PTRACE_DETACH, these.v[i], NULL, NULL); /* as above */
		else if (r == -ETIMEDOUT)
			hp_thread_leave(these.v[i]);
	}
	hp_pids_free(&these);
}

static int busy(pid_t tid, struct hp_err *err)
{
	return hp_err_set(err, -EBUSY, "thread %d is in an uninterruptible wait", (int)tid);
}

/* Without options: until it stops it goes on with its own affairs, and what it clones then is not ours
 * to trace.  A child that were would be held for as long as this process lives. */
static int seize(pid_t tid, struct hp_err *err)
{
	struct hp_stat st;

	/* A thread in an uninterruptible wait (vfork(2), a dead disk) stops when that ends, if ever,
	 * and until it stopped it cannot be let go: ptrace(2). */
	if (hp_stat_read(tid, &st) < 0)
		return hp_err_set(err, -ESRCH, "thread %d has ended", (int)tid);
	if (st.state == 'D')
		return busy(tid, err);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return seize_failed(tid, errno, err);
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return hp_err_set(err, -ESRCH, "thread %d has ended", (int)tid);
	return 0;
}

/* EPERM is an answer about the one that was meant. */
static bool is_of(pid_t pid, pid_t tid)
{
	return syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH;
}

/* Where the kernel does not tell (no CONFIG_KCMP), whoever was listed counts: one left out would be taken
 * for gone while it runs the code that is looked for. */
static bool shares(pid_t pid, pid_t tid)
{
	long r;

	if (is_of(pid, tid))
		return true;
	r = syscall(SYS_kcmp, pid, tid, KCMP_VM, 0, 0);
	return r == 0 || (r < 0 && errno != ESRCH);
}

/* @meant is asked when it stands still, for then it keeps its number. */
static int stop(pid_t pid, pid_t tid, bool (*meant)(pid_t pid, pid_t tid), long options,
		struct hp_err *err)
{
	bool was_left = take_left(tid);
	int r = 0;

	let_left_go();
	/* From the interrupt to the mending the thread would go on with an EINTR. */
	hp_lifeline_hold();
	if (!was_left)
		r = seize(tid, err);
	if (r == 0)
		r = await_stop(tid, was_left ? 0 : hp_now_ns() + HP_THREAD_STOP_NS);
	hp_lifeline_resume();
	if (r < 0 && r != -ETIMEDOUT && r != -ESRCH)
		return r;
	if (r == 0 && !meant(pid, tid)) {
		(void)ptrace(PTRACE_DETACH, tid, NULL, NULL); /* fails only if it died */
		r = -ESRCH;
	}
	if (r == 0 && (was_left || options) && ptrace(PTRACE_SETOPTIONS, tid, NULL, options))
		r = -ESRCH; /* no stopped thread refuses */
	if (r == -ETIMEDOUT) {
		hp_thread_leave(tid);
		return busy(tid, err);
	}
	return r < 0 ? hp_err_set(err, -ESRCH, "thread %d has ended", (int)tid) : 0;
}

int hp_thread_stop(pid_t pid, pid_t tid, long options, struct hp_err *err)
{
	return stop(pid, tid, is_of, options, err);
}

int hp_thread_stop_sharer(pid_t pid, pid_t tid, struct hp_err *err)
{
	return stop(pid, tid, shares, 0, err);
}

int hp_thread_release(pid_t tid)
{
	int r = ptrace(PTRACE_DETACH, tid, NULL, NULL) && errno != ESRCH ? -errno : 0;

	let_left_go();
	return r;
}

int hp_thread_regs(pid_t tid, struct user_regs_struct *ret)
{
	return ptrace(PTRACE_GETREGS, tid, NULL, ret) ? -errno : 0;
}

int hp_thread_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return ptrace(PTRACE_SETREGS, tid, NULL, regs) ? -errno : 0;
}

const char *hp_thread_name(pid_t tid, char *buf, size_t n)
{
	char path[64], *text;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	if (hp_read_file(AT_FDCWD, path, 256, &text, NULL) < 0) {
		(void)snprintf(buf, n, "?");
		return buf;
	}
	(void)snprintf(buf, n, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return buf;
}
