/* SPDX-License-Identifier: MIT */
#include "upgrade/child.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "upgrade/inherit.h"
#include "upgrade/spawn.h"

/* --- its environment -------------------------------------------------------------------------------- */

struct environment {
	HP_ARRAY(char *) a; /* ends with NULL; the last @own are to be freed */
	size_t own;
};

static bool is_ours(const char *entry)
{
	static const char *const names[] = {HP_INHERIT_MARKER "=", "LISTEN_PID=", "LISTEN_FDS=",
					    "LISTEN_FDNAMES="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(entry, names[i], strlen(names[i])))
			return true;
	return false;
}

static void environment_free(struct environment *e)
{
	for (size_t i = 0; i < e->own; i++)
		free(e->a.v[e->a.n - 1 - i]);
	HP_ARRAY_FREE(&e->a);
}

/* Takes @entry, which may be NULL for want of memory. */
static bool add_own(struct environment *e, char *entry)
{
	char **at = entry ? HP_ARRAY_ADD(&e->a) : NULL;

	if (!at) {
		free(entry);
		return false;
	}
	*at = entry;
	e->own++;
	return true;
}

/* "NAME=text" and room for a pid, whose place is *ret_at. */
static char *with_pid(const char *name, const char *text, char **ret_at)
{
	char *entry;
	int n = asprintf(&entry, "%s=%s%*s", name, text, HP_SPAWN_PID_ROOM, "");

	if (n < 0)
		return NULL;
	*ret_at = entry + n - HP_SPAWN_PID_ROOM;
	return entry;
}

static char *entry_of(const char *name, const char *value)
{
	char *entry;

	return value && asprintf(&entry, "%s=%s", name, value) >= 0 ? entry : NULL;
}

static bool add_listen_fds(struct environment *e, const struct hp_fds *f, size_t n, char **pid_at)
{
	char count[32], *labels = hp_inherit_labels(f, n);
	bool done;

	snprintf(count, sizeof(count), "%zu", n);
	done = add_own(e, entry_of("LISTEN_FDS", count)) &&
	       add_own(e, entry_of("LISTEN_FDNAMES", labels)) &&
	       add_own(e, with_pid("LISTEN_PID", "", pid_at));
	free(labels);
	return done;
}

/* This process's environment as it is now, and what tells the new one what it inherits. */
static int environment_make(struct environment *e, struct hp_fds *f, char *pid_at[HP_SPAWN_PIDS])
{
	size_t offered = hp_inherit_sort(f);
	char count[32], **at;

	memset(pid_at, 0, HP_SPAWN_PIDS * sizeof(*pid_at));
	for (char **from = environ; from && *from; from++) {
		if (is_ours(*from))
			continue;
		at = HP_ARRAY_ADD(&e->a);
		if (!at)
			return -ENOMEM;
		*at = *from;
	}
	snprintf(count, sizeof(count), "%zu ", f->used.a.n);
	if (!add_own(e, with_pid(HP_INHERIT_MARKER, count, &pid_at[0])) ||
	    (offered && !add_listen_fds(e, f, offered, &pid_at[1])))
		return -ENOMEM;
	at = HP_ARRAY_ADD(&e->a);
	if (!at)
		return -ENOMEM;
	*at = NULL;
	e->own++; /* it is among the last; free(NULL) is harmless */
	return 0;
}

/* --- its start -------------------------------------------------------------------------------------- */

static int *descriptors(const struct hp_fds *f, int sock, int names)
{
	int *fds = calloc(f->used.a.n + HP_INHERIT_EXTRA, sizeof(*fds));

	if (!fds)
		return NULL;
	for (size_t i = 0; i < f->used.a.n; i++)
		fds[i] = f->used.a.v[i].fd;
	fds[f->used.a.n] = sock;
	fds[f->used.a.n + 1] = names;
	return fds;
}

static pid_t start(struct hp_fds *f, struct hp_spawn *s, int sock, int *ret_process,
		   struct hp_err *err)
{
	struct environment e = {0};
	hp_autoclose int names = -1;
	int *fds = NULL;
	pid_t pid;

	pid = environment_make(&e, f, s->pid_at);
	if (pid < 0)
		(void)hp_err_set(err, pid, "no memory"); /* returned below */
	if (pid == 0)
		pid = names = hp_inherit_names(f, err);
	if (pid >= 0) {
		fds = descriptors(f, sock, names);
		s->fds = fds;
		s->n_fds = f->used.a.n + HP_INHERIT_EXTRA;
		s->envp = e.a.v;
		pid = fds ? hp_spawn(s, ret_process, err) : hp_err_set(err, -ENOMEM, "no memory");
	}
	free(fds);
	environment_free(&e);
	return pid;
}

static int watch(int events, int fd)
{
	struct epoll_event e = {.events = EPOLLIN};

	return epoll_ctl(events, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int set_timer(int fd, unsigned ms)
{
	struct itimerspec t = {.it_value = {ms / 1000, (long)(ms % 1000) * 1000000}};

	return timerfd_settime(fd, 0, &t, NULL) ? -errno : 0;
}

/* What can be had before there is a process. */
static int prepare(struct hp_child *a, unsigned timeout_ms)
{
	int k;

	a->events = epoll_create1(EPOLL_CLOEXEC);
	a->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (a->events < 0 || a->timer < 0)
		return -errno;
	k = set_timer(a->timer, timeout_ms);
	if (k == 0)
		k = watch(a->events, a->timer);
	if (k == 0)
		k = watch(a->events, a->sock);
	return k;
}

static void close_all(struct hp_child *a)
{
	hp_close(&a->process);
	hp_close(&a->sock);
	hp_close(&a->timer);
	hp_close(&a->events);
	a->pid = 0;
}

int hp_child_begin(struct hp_child *a, struct hp_fds *f, const char *cwd, char *const *argv,
		     const sigset_t *mask, unsigned timeout_ms, struct hp_err *err)
{
	struct hp_spawn s = {.argv = argv, .cwd = cwd, .first = HP_INHERIT_FIRST, .mask = mask};
	int pair[2], k;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return hp_err_sys(err, errno, "can't start child: socketpair");
	*a = (struct hp_child){.process = -1, .sock = pair[0], .timer = -1, .events = -1};
	k = prepare(a, timeout_ms);
	if (k < 0) {
		(void)hp_err_sys(err, -k, "descriptors"); /* returned below */
	} else {
		pthread_mutex_lock(&f->lock);
		a->pid = k = start(f, &s, pair[1], &a->process, err);
		pthread_mutex_unlock(&f->lock);
	}
	close(pair[1]);
	if (k > 0) {
		k = watch(a->events, a->process);
		if (k < 0) {
			hp_child_end(a);
			(void)hp_err_sys(err, -k, "epoll"); /* returned below */
		}
	}
	if (k < 0) {
		close_all(a);
		return hp_err_prefix(err, k, "can't start child");
	}
	return 0;
}

/* --- its end ---------------------------------------------------------------------------------------- */

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* ": exit status 3", ": signal: killed"; nothing after a success, or when somebody else reaped it. */
static void describe(const siginfo_t *i, char *ret, size_t size)
{
	const char *name = i->si_code == CLD_EXITED ? NULL : sigdescr_np(i->si_status);

	*ret = 0;
	if (i->si_pid && i->si_code == CLD_EXITED && i->si_status)
		snprintf(ret, size, ": exit status %d", i->si_status);
	else if (i->si_pid && name)
		snprintf(ret, size, ": signal: %c%s", tolower((unsigned char)name[0]), name + 1);
}

static int gone(struct hp_child *a, struct hp_err *err)
{
	siginfo_t info = {0};
	char how[64];
	int k = a->given_up, pid = a->pid;

	if (waitid(P_PIDFD, (id_t)a->process, &info, WEXITED) < 0)
		info.si_pid = 0; /* the program's own handler of SIGCHLD was first */
	close_all(a);
	if (k == -ETIMEDOUT)
		return hp_err_set(err, k, "new child pid=%d timed out", pid);
	if (k)
		return hp_err_set(err, k, "terminating");
	describe(&info, how, sizeof(how));
	return hp_err_set(err, -ECHILD, "child pid=%d exited%s", pid, how);
}

/* True: it has said that it is ready. */
static bool listen_to(struct hp_child *a)
{
	char byte = 0;
	ssize_t n = recv(a->sock, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == 1 && byte == HP_READY)
		return true;
	/* It will not say so any more, but may take its time to end. */
	(void)epoll_ctl(a->events, EPOLL_CTL_DEL, a->sock, NULL);
	return false;
}

int hp_child_step(struct hp_child *a, int *ret_sock, struct hp_err *err)
{
	/* First: one that was ready and ended in the same moment is no successor. */
	if (readable(a->process))
		return gone(a, err);
	if (a->given_up)
		return 0;
	if (listen_to(a)) {
		*ret_sock = HP_TAKE_FD(a->sock);
		close_all(a);
		return 1;
	}
	if (readable(a->timer))
		hp_child_give_up(a, -ETIMEDOUT);
	return 0;
}

void hp_child_give_up(struct hp_child *a, int code)
{
	a->given_up = code;
	/* Only its end is waited for now. */
	(void)epoll_ctl(a->events, EPOLL_CTL_DEL, a->timer, NULL);
	(void)epoll_ctl(a->events, EPOLL_CTL_DEL, a->sock, NULL);
	(void)pidfd_send_signal(a->process, SIGKILL, NULL, 0); /* fails when it has ended */
}

void hp_child_end(struct hp_child *a)
{
	siginfo_t info;

	if (!a->pid)
		return;
	hp_child_give_up(a, -ECANCELED);
	(void)waitid(P_PIDFD, (id_t)a->process, &info, WEXITED); /* reaped by somebody else: as well */
	close_all(a);
}
