/* SPDX-License-Identifier: MIT */
#include "restart/spawn.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "restart/filter.h"
#include "restart/spec.h"
#include "restart/traced.h"

#define SIGNAL_MS 100

/* What the child says: first its filter's descriptor, or that it waits to be traced; then either
 * nothing (it is executed, which closes the socket) or why not. */
struct message {
	int errnum; /* 0: not why not */
	char what[64];
};

_Noreturn static void give_up(int sock, int errnum, const char *what)
{
	struct message m = {.errnum = errnum};

	(void)snprintf(m.what, sizeof(m.what), "%s", what);
	(void)hp_send_fds(sock, &m, sizeof(m), NULL, 0); /* who asked is gone, then so are we */
	_exit(127);
}

/* As at the beginning of a program: what hp ignores or blocks is no business of the new one's. */
static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i <= SIGRTMAX; i++)
		(void)signal(i, SIG_DFL); /* fails for SIGKILL, SIGSTOP and glibc's own two */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail */
}

static void put_under_filter(int sock)
{
	const struct message filter = {0};
	int r, fd = hp_filter_install();

	if (fd < 0)
		give_up(sock, -fd, "the seccomp filter");
	r = hp_send_fds(sock, &filter, sizeof(filter), &fd, 1);
	if (r < 0)
		_exit(127);
	close(fd);
}

static void wait_for_tracer(int sock)
{
	const struct message waits = {0};
	char go;

	if (hp_send_fds(sock, &waits, sizeof(waits), NULL, 0) < 0 || read(sock, &go, 1) != 1)
		_exit(127);
}

/* Who has a session keyring possesses what is in it, whoever he becomes: it was hpd's, and so perhaps that
 * of a login, and every other new process's.  Where keyctl(2) is forbidden (a container) or missing,
 * it was of no use to hpd either. */
static int leave_keyring(const char **what)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
	    errno == EPERM)
		return 0;
	*what = "a session keyring of its own";
	return -errno;
}

/* The filter first, while there are the rights for it; the program's rights last, with which it goes where
 * its unit says, as systemd has it. */
_Noreturn static void child(const struct hp_spec *spec, bool traced, int sock)
{
	const char *what = NULL;
	int r;

	(void)setsid(); /* fails for a group leader only: a fork is none */
	r = hp_spec_apply(spec, &what);
	if (r < 0)
		give_up(sock, -r, what);
	if (traced)
		wait_for_tracer(sock);
	else
		put_under_filter(sock);
	r = hp_creds_apply(&spec->creds, &what);
	if (r == 0)
		r = leave_keyring(&what);
	if (r == 0)
		r = hp_spec_go(spec, &what);
	if (r < 0)
		give_up(sock, -r, what);
	reset_signals();
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* they are so already: nothing of ours */
	(void)execve(spec->file, spec->argv.v, spec->envp.v);
	give_up(sock, errno, "");
}

static int failed(const struct hp_spec *spec, const struct message *m, struct hp_err *err)
{
	if (!m->what[0])
		return hp_err_set(err, -HP_E_NEW_PROCESS, "cannot execute %s: %s", spec->file,
				  strerror(m->errnum));
	return hp_err_set(err, -HP_E_NEW_PROCESS,
			  "the new process could not be given %.64s: %s", m->what,
			  strerror(m->errnum));
}

static int hear(const struct hp_spec *spec, int sock, int *notify_fd, struct hp_err *err)
{
	struct message m;
	size_t n = 1;
	int r = hp_recv_fds(sock, &m, sizeof(m), notify_fd, &n);

	if (r == 0 && m.errnum)
		return failed(spec, &m, err);
	return r < 0 ? hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process died before it was executed")
		     : 0;
}

static int trace(struct hp_traced *t, pid_t pid, int sock, struct hp_err *err)
{
	int r = hp_traced_begin(t, pid);

	if (r == 0)
		r = hp_write_all(sock, "", 1);
	return r < 0 ? hp_err_sys(err, -r, "tracing the new process") : 0;
}

/* Traced, it stands still at its execve(2), which is seen afterwards; or at a signal, which is not to
 * keep it from that. */
static void await_executed(struct hp_traced *t, pid_t pid, int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int status;

	while (t && poll(&p, 1, SIGNAL_MS) == 0)
		if (waitpid(pid, &status, WNOHANG | __WALL) == pid)
			hp_traced_take(t, pid, status);
}

static int hear_executed(const struct hp_spec *spec, int sock, struct hp_err *err)
{
	struct message m;
	size_t none = 0;
	int r = hp_recv_fds(sock, &m, sizeof(m), NULL, &none);

	if (r == 0)
		return failed(spec, &m, err);
	return r == -ECONNRESET ? 0 : hp_err_sys(err, -r, "hearing of the new process");
}

int hp_generation_spawn(const struct hp_spec *spec, struct hp_traced *traced, pid_t *ret_pid,
			int *ret_notify_fd, struct hp_err *err)
{
	hp_autoclose int ours = -1, notify_fd = -1;
	int sv[2], r = hp_socketpair(sv);
	pid_t pid;

	if (r < 0)
		return hp_err_sys(err, -r, "socket of the new process");
	ours = sv[0];
	pid = fork();
	if (pid == 0)
		child(spec, traced != NULL, sv[1]);
	r = pid < 0 ? -errno : 0;
	close(sv[1]);
	if (r < 0)
		return hp_err_sys(err, -r, "fork of the new process");
	r = hear(spec, ours, &notify_fd, err);
	if (r == 0 && traced)
		r = trace(traced, pid, ours, err);
	if (r == 0) {
		await_executed(traced, pid, ours);
		r = hear_executed(spec, ours, err);
	}
	if (r < 0) {
		(void)kill(pid, SIGKILL);	     /* or it is dead */
		(void)waitpid(pid, NULL, 0); /* ours: cannot fail */
		return r;
	}
	*ret_pid = pid;
	*ret_notify_fd = HP_TAKE_FD(notify_fd);
	return 0;
}
