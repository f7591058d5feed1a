/* SPDX-License-Identifier: MIT */
#include "restart/quiet.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "base/clock.h"
#include "hp/err.h"
#include "target/blocked.h"

#define AGAIN_NS (200 * HP_US)

/* Calls in which a thread waits for its next piece of work, and that begin anew without a trace
 * (target/choose.c has those for streams too). */
static bool is_waiting(long nr)
{
	static const long calls[] = {
		SYS_recvfrom, SYS_recvmsg,	SYS_recvmmsg,	  SYS_epoll_wait,   SYS_epoll_pwait,
		SYS_poll,     SYS_ppoll,	SYS_select,	  SYS_pselect6,     SYS_accept,
		SYS_accept4,  SYS_futex,	SYS_pause,	  SYS_rt_sigsuspend, SYS_wait4,
		SYS_waitid,   SYS_nanosleep, SYS_clock_nanosleep, SYS_epoll_pwait2,
		SYS_rt_sigtimedwait, SYS_restart_syscall,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == nr)
			return true;
	return false;
}

/* What the kernel turns into a restart of the call, when it goes on: linux/errno.h, ERESTARTSYS to
 * ERESTART_RESTARTBLOCK. */
static bool is_restarted(int64_t result)
{
	return result <= -512 && result >= -516;
}

/* Stopped in a call that had not ended yet?  One that failed has: with what other sockets gave, perhaps. */
static bool is_still_waiting(pid_t tid)
{
	struct user_regs_struct regs;

	return hp_thread_regs(tid, &regs) == 0 && (int64_t)regs.orig_rax >= 0 &&
	       is_waiting((long)regs.orig_rax) && is_restarted((int64_t)regs.rax);
}

static bool is_stopped(const struct hp_quiet *q, pid_t tid)
{
	for (size_t i = 0; i < q->stopped.n; i++)
		if (q->stopped.v[i] == tid)
			return true;
	return false;
}

/* 1: stopped; 0: it is busy. */
static int stop(struct hp_quiet *q, pid_t tid, struct hp_err *err)
{
	struct hp_blocked b;
	pid_t *v;
	int r;

	if (is_stopped(q, tid))
		return 1;
	if (!hp_blocked_read(&b, q->t->pid, tid))
		return 1; /* it has ended */
	/* Of a busy server's the waits are too short to be seen: it is stopped at its next one, if that is
	 * where its way leads. */
	if (!b.running && !is_waiting(b.nr))
		return 0;
	r = hp_thread_stop(q->t->pid, tid, 0, err);
	if (r == -ESRCH || r == -EBUSY)
		return r == -ESRCH;
	if (r < 0)
		return r;
	v = is_still_waiting(tid) ? HP_ARRAY_ADD(&q->stopped) : NULL;
	if (v) {
		*v = tid;
		return 1;
	}
	(void)hp_thread_release(tid); /* it has work, or came out just then; 0 too when it died */
	return 0;
}

/* 1: all are stopped; 0: one of them is busy.  Those that are stopped stay so: what a busy one does
 * ends by itself, and then it waits as well. */
static int stop_all(struct hp_quiet *q, struct hp_err *err)
{
	struct hp_pids tids = {0};
	int r = hp_threads_list(q->t, &tids, err), all = 1;

	for (size_t i = 0; r >= 0 && i < tids.n; i++) {
		r = stop(q, tids.v[i], err);
		all &= r == 1;
	}
	hp_pids_free(&tids);
	return r < 0 ? r : all;
}

int hp_quiet_begin(struct hp_quiet *q, uint64_t deadline_ns, struct hp_err *err)
{
	int r = stop_all(q, err);

	while (r == 0 && hp_now_ns() < deadline_ns) {
		hp_pause_ns(AGAIN_NS);
		r = stop_all(q, err);
	}
	if (r == 1)
		return 0;
	hp_quiet_end(q);
	if (r == 0)
		r = hp_err_set(err, -HP_E_TARGET,
			       "process %d (%s) was never seen without a datagram in hand",
			       (int)q->t->pid, q->t->comm);
	return r;
}

void hp_quiet_end(struct hp_quiet *q)
{
	for (size_t i = 0; i < q->stopped.n; i++)
		(void)hp_thread_release(q->stopped.v[i]); /* 0 too when it died */
	hp_pids_free(&q->stopped);
}
