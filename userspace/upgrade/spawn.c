/* SPDX-License-Identifier: MIT */
/*
 * posix_spawn(3) cannot do it: systemd's LISTEN_PID is the pid of the process that reads it, known
 * in the new process only.  vfork(2), since a fork copies the page tables of a large service and
 * lets it fault on each page after that.  The new process therefore runs in this one's memory until
 * it executes: without signals, by system calls alone.
 */
#include "upgrade/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hp/err.h"

#define EXIT_NOT_RUN 127

/* How far it came. */
struct report {
	const char *what;
	int errnum;
};

static void default_signals(void)
{
	/* A handler must not run here; what is ignored stays ignored, as exec leaves it. */
	for (int s = 1; s < NSIG; s++) {
		struct sigaction a;

		if (sigaction(s, NULL, &a) == 0 && a.sa_handler != SIG_IGN &&
		    a.sa_handler != SIG_DFL)
			(void)signal(s, SIG_DFL); /* fails for signals without handlers only */
	}
}

/* From @s->first on, in order.  Those that lie where others have to go are moved away first. */
static int place(const struct hp_spawn *s, int *fds)
{
	int top = s->first + (int)s->n_fds;

	for (size_t i = 0; i < s->n_fds; i++)
		if (fds[i] < top) {
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, top);
			if (fds[i] < 0)
				return -1;
		}
	for (size_t i = 0; i < s->n_fds; i++)
		if (dup2(fds[i], s->first + (int)i) < 0)
			return -1;
	/* This is no descriptor's last end but the old process's: a connection that the new one kept
	 * would not end when the old one closes it. */
	return close_range((unsigned)top, ~0u, 0);
}

static void put_pid(char *at, pid_t pid)
{
	char digits[HP_SPAWN_PID_ROOM];
	size_t n = sizeof(digits);

	digits[--n] = 0;
	do {
		digits[--n] = (char)('0' + pid % 10);
		pid /= 10;
	} while (pid);
	memcpy(at, digits + n, sizeof(digits) - n);
}

__attribute__((noreturn)) static void become(const struct hp_spawn *s, int *fds,
						 volatile struct report *r)
{
	default_signals();
	for (int i = 0; i < HP_SPAWN_PIDS && s->pid_at[i]; i++)
		put_pid(s->pid_at[i], getpid());
	r->what = s->cwd;
	if (chdir(s->cwd) == 0) {
		r->what = "descriptors";
		if (place(s, fds) == 0) {
			r->what = "execve";
			(void)sigprocmask(SIG_SETMASK, s->mask, NULL); /* a good mask is not refused */
			execvpe(s->argv[0], s->argv, s->envp);
		}
	}
	r->errnum = errno;
	_exit(EXIT_NOT_RUN);
}

pid_t hp_spawn(const struct hp_spawn *s, struct hp_err *err)
{
	/* In memory that both share: the compiler must not think it knows. */
	volatile struct report report = {NULL, 0};
	int *fds = malloc((s->n_fds + 1) * sizeof(*fds)), state;
	sigset_t all, old;
	pid_t pid;

	if (!fds)
		return hp_err_set(err, -ENOMEM, "no memory");
	memcpy(fds, s->fds, s->n_fds * sizeof(*fds));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): see above */
	pid = vfork();
	if (pid == 0)
		become(s, fds, &report); /* NOLINT(clang-analyzer-unix.Vfork): system calls only */
	if (pid < 0)
		pid = hp_err_sys(err, errno, "vfork");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	free(fds);
	if (pid > 0 && report.errnum) {
		(void)waitpid(pid, &state, 0); /* it may have been reaped: nothing more is wanted */
		return hp_err_sys(err, report.errnum, "can't start process %s: %s", s->argv[0],
				  report.what);
	}
	return pid;
}
