/* SPDX-License-Identifier: MIT */
/*
 * An agent that shares the program's descriptors does it: DEL in each epoll, then dup3 of a socket
 * of hp's over the number, which is one step for every thread.  A thread that is blocked in accept
 * holds the file itself: it is made to begin its call anew, and finds the other one.  One that is
 * just on its way there accepts, and serves, one more connection: the program is not taken for idle
 * before each thread was seen blocked.  Datagram sockets go in a moment in which nobody has a datagram
 * in hand (quiet.h), for the answer goes out by them.
 */
#include "restart/takeaway.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/lifeline.h"
#include "hp/err.h"
#include "restart/dummy.h"
#include "restart/quiet.h"
#include "restart/ready.h"
#include "service/fds.h"
#include "target/agent.h"
#include "target/blocked.h"
#include "target/target.h"
#include "target/threads.h"

#define PASS_NS	  (1 * HP_MS)
#define SETTLE_NS (500 * HP_MS)
#define LATE_NS	  (5 * HP_S) /* after its deadline what was begun is to end by itself */
#define KILLED_MS 1000

struct taking {
	struct hp_target *t;
	struct hp_agent *agent;
	const struct hp_listeners *l;
	struct hp_fd_list fds;	   /* of the target */
	struct hp_interests waits; /* of its epolls */
	struct hp_pids settled;
};

int hp_take_away_check(const struct hp_procs *procs, struct hp_err *err)
{
	struct hp_fd_list fds = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < procs->n; i++) {
		if (hp_fd_list_read(&fds, procs->v[i]) < 0)
			break; /* what may not be read, the inventory has refused */
		for (size_t k = 0; r == 0 && k < fds.n; k++)
			if (fds.v[k].kind == HP_FD_URING)
				r = hp_err_set(err, -HP_E_TARGET,
					       "process %d uses io_uring, whose accepts hp cannot take "
					       "away; use --drain graceful:SIGNAL",
					       (int)procs->v[i]);
	}
	hp_fd_list_free(&fds);
	return r;
}

static int failed(const struct taking *k, int64_t r, const char *what, struct hp_err *err)
{
	if (r == -HP_E_GONE)
		return hp_err_set(err, -HP_E_GONE, "the agent in process %d ended", (int)k->t->pid);
	return hp_err_sys(err, (int)-r, "%s in process %d", what, (int)k->t->pid);
}

static int leave_epolls(struct taking *k, const struct hp_listener *l, struct hp_err *err)
{
	for (size_t i = 0; i < k->waits.n; i++) {
		const struct hp_interest *w = &k->waits.v[i];
		int64_t r;

		if (w->ino != l->ino)
			continue;
		r = hp_agent_syscall(k->agent, SYS_epoll_ctl, (uint64_t)w->epoll, EPOLL_CTL_DEL,
				     (uint64_t)w->fd, 0, 0, 0);
		/* Another process, with which it is shared, was first. */
		if (r < 0 && r != -ENOENT && r != -EBADF)
			return failed(k, r, "epoll_ctl", err);
	}
	return 0;
}

static int put_dummy(struct taking *k, int fd, const struct hp_listener *l, struct hp_err *err)
{
	hp_autoclose int dummy = hp_dummy_open(l, err);
	int theirs;
	int64_t r;

	if (dummy < 0)
		return dummy;
	theirs = hp_agent_give_fd(k->agent, dummy, err);
	if (theirs < 0)
		return theirs;
	r = hp_agent_syscall(k->agent, SYS_dup3, (uint64_t)theirs, (uint64_t)fd,
			     hp_fd_is_cloexec(k->t->pid, fd) ? O_CLOEXEC : 0, 0, 0, 0);
	(void)hp_agent_close_fd(k->agent, theirs); /* fails only if the agent is gone */
	return r < 0 ? failed(k, r, "dup3", err) : 0;
}

static bool is_settled(const struct taking *k, pid_t tid)
{
	for (size_t i = 0; i < k->settled.n; i++)
		if (k->settled.v[i] == tid)
			return true;
	return false;
}

static bool waits_at_one(const struct taking *k, const struct hp_blocked *b)
{
	for (size_t i = 0; i < k->fds.n; i++)
		if (hp_listeners_find(k->l, k->fds.v[i].ino) &&
		    hp_blocked_waits_for(b, k->t->pid, k->fds.v[i].fd))
			return true;
	return false;
}

/* 1: whatever it does with those numbers from now on, it finds the sockets that are there now.
 * 0: it runs, and may be on its way into a call with one that was there before. */
static int settle(struct taking *k, pid_t tid, struct hp_err *err)
{
	struct hp_blocked b;
	pid_t *v;
	int r = 0;

	if (is_settled(k, tid) || !hp_blocked_read(&b, k->t->pid, tid))
		return 1;
	if (b.running)
		return 0;
	/* It begins its call anew. */
	if (waits_at_one(k, &b))
		r = hp_thread_stop(k->t->pid, tid, 0, err) ?: hp_thread_release(tid);
	if (r < 0)
		return r == -ESRCH ? 1 : r;
	v = HP_ARRAY_ADD(&k->settled);
	if (!v)
		return hp_err_sys(err, ENOMEM, "threads of process %d", (int)k->t->pid);
	*v = tid;
	return 1;
}

/* 1: all are. */
static int settle_all(struct taking *k, struct hp_err *err)
{
	struct hp_pids tids = {0};
	int r = hp_threads_list(k->t, &tids, err), all = 1;

	for (size_t i = 0; r >= 0 && i < tids.n; i++) {
		r = settle(k, tids.v[i], err);
		all &= r == 1;
	}
	hp_pids_free(&tids);
	return r < 0 ? r : all;
}

/* Each thread has to be seen blocked once; one that computes all the time is not waited for. */
static int wait_settled(struct taking *k, struct hp_err *err)
{
	uint64_t end = hp_now_ns() + SETTLE_NS;
	int r = settle_all(k, err);

	while (r == 0 && hp_now_ns() < end) {
		hp_pause_ns(PASS_NS);
		r = settle_all(k, err);
	}
	return r < 0 ? r : 0;
}

static int take_all(struct taking *k, bool datagrams, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->fds.n; i++) {
		const struct hp_listener *l = NULL;

		if (k->fds.v[i].kind == HP_FD_SOCKET)
			l = hp_listeners_find(k->l, k->fds.v[i].ino);
		if (!l || (l->type == SOCK_DGRAM) != datagrams)
			continue;
		r = leave_epolls(k, l, err);
		if (r == 0)
			r = put_dummy(k, k->fds.v[i].fd, l, err);
	}
	return r;
}

static bool has_any(const struct taking *k, bool datagrams)
{
	for (size_t i = 0; i < k->fds.n; i++) {
		const struct hp_listener *l = NULL;

		if (k->fds.v[i].kind == HP_FD_SOCKET)
			l = hp_listeners_find(k->l, k->fds.v[i].ino);
		if (l && (l->type == SOCK_DGRAM) == datagrams)
			return true;
	}
	return false;
}

static int take_datagrams(struct taking *k, uint64_t deadline_ns, struct hp_err *err)
{
	struct hp_quiet q = {.t = k->t};
	int r;

	if (!has_any(k, true))
		return 0;
	r = hp_quiet_begin(&q, deadline_ns, err);
	if (r < 0)
		return r;
	r = take_all(k, true, err);
	hp_quiet_end(&q);
	return r;
}

/* Nothing is done in a process that got the number meanwhile.  While the one that is held lives, what was
 * read under its number was its own. */
static int open_held(struct taking *k, pid_t pid, int pidfd, struct hp_err *err)
{
	int r = hp_target_open(&k->t, pid, err);

	if (r == 0 && !hp_pidfd_lives(pidfd))
		r = hp_err_set(err, -HP_E_GONE, "process %d has exited", (int)pid);
	return r;
}

static int take_from(struct taking *k, pid_t pid, int pidfd, uint64_t deadline_ns,
		     struct hp_err *err)
{
	int r, e;

	if (!hp_pidfd_lives(pidfd))
		return 0;
	r = hp_fd_list_read(&k->fds, pid);
	if (r == 0)
		r = hp_interests_read(&k->waits, pid);
	if (r < 0)
		return hp_err_sys(err, -r, "descriptors of process %d", (int)pid);
	if (!has_any(k, false) && !has_any(k, true))
		return 0;
	r = open_held(k, pid, pidfd, err);
	if (r == 0)
		r = hp_agent_start_sharing(&k->agent, k->t, deadline_ns, err);
	if (r == 0) {
		r = take_all(k, false, err);
		if (r == 0)
			r = take_datagrams(k, deadline_ns, err);
		e = hp_agent_end(k->agent, r < 0 ? NULL : err);
		if (r == 0)
			r = e;
	}
	if (r == 0)
		r = wait_settled(k, err);
	if (r == -HP_E_GONE && (!k->t || !hp_pidfd_lives(pidfd) || hp_target_check(k->t, NULL) < 0))
		r = 0; /* it ended by itself */
	hp_target_free(k->t);
	return r;
}

static int take_away(const struct hp_procs *procs, const int *pidfds, const struct hp_listeners *l,
		     uint64_t deadline_ns, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < procs->n; i++) {
		struct taking k = {.l = l};

		r = take_from(&k, procs->v[i], pidfds[i], deadline_ns, err);
		hp_fd_list_free(&k.fds);
		hp_interests_free(&k.waits);
		hp_pids_free(&k.settled);
	}
	return r;
}

/* What the one that does it says. */
struct verdict {
	int code;
	char text[sizeof(((struct hp_err *)NULL)->text)];
};

static int hear(int sock, uint64_t until_ns, struct hp_err *err)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	uint64_t now = hp_now_ns();
	struct verdict v;
	size_t none = 0;

	if (poll(&p, 1, until_ns > now ? (int)((until_ns - now) / HP_MS) : 0) <= 0)
		return hp_err_set(err, -HP_E_TARGET,
				  "the listeners could not be taken away in time: the machine is very busy, "
				  "or memory or a file of the program does not answer");
	if (hp_recv_fds(sock, &v, sizeof(v), NULL, &none) < 0)
		return hp_err_set(err, -HP_E_FAILED, "the process that takes listeners away died");
	return v.code < 0 ? hp_err_set(err, v.code, "%s", v.text) : 0;
}

/* The kernel kills its agent with it, and puts on the threads that it has stopped.  One that is not to be
 * killed at once has us as its parent when it ends. */
static void end(pid_t pid)
{
	hp_autoclose int held = pidfd_open(pid, 0);
	struct pollfd p = {.fd = held, .events = POLLIN};

	(void)kill(pid, SIGKILL); /* or it has ended */
	if (poll(&p, 1, KILLED_MS) > 0)
		(void)waitpid(pid, NULL, 0); /* ours: cannot fail */
}

/* By a process of its own, which can be killed: whoever asks for memory of the old one's, or closes a
 * descriptor that was its, may wait for a file system that does not answer. */
int hp_take_away(const struct hp_procs *procs, const int *pidfds, const struct hp_listeners *l,
		 uint64_t deadline_ns, struct hp_err *err)
{
	pid_t us = getpid(), pid;
	struct verdict v = {0};
	struct hp_err why = {.text = ""};
	int sv[2], r = hp_socketpair(sv);

	if (r < 0)
		return hp_err_sys(err, -r, "socket of the process that takes listeners away");
	pid = fork();
	if (pid == 0) {
		hp_lifeline_tie(us);
		v.code = take_away(procs, pidfds, l, deadline_ns, &why);
		(void)snprintf(v.text, sizeof(v.text), "%s", why.text);
		(void)hp_send_fds(sv[1], &v, sizeof(v), NULL, 0); /* or nobody waits for it any more */
		_exit(0);
	}
	r = pid < 0 ? -errno : 0;
	close(sv[1]);
	r = r < 0 ? hp_err_sys(err, -r, "process that takes listeners away")
		  : hear(sv[0], deadline_ns + LATE_NS, err);
	if (pid > 0)
		end(pid);
	close(sv[0]);
	return r;
}
