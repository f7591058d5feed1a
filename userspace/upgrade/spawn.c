/* SPDX-License-Identifier: MIT */
/*
 * What posix_spawn(3) does, done here for two things that it does not: systemd's LISTEN_PID is the
 * pid of the process that reads it, known in the new process only; and the descriptor of the process
 * has to come with it, for a program that ignores SIGCHLD has no pid to open later.
 *
 * Not fork(2), which copies the page tables of a large service and lets it fault on each page after
 * that.  The new process runs in this one's memory, on a stack of its own, until it executes: without
 * signals, by system calls alone.
 */
#include "upgrade/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"

#define EXIT_NOT_RUN 127
#define STACK_SIZE   (64u << 10)

struct start {
	const struct hp_spawn *s;
	int *fds;
	/* How far it came. */
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

static int become(void *arg)
{
	struct start *st = arg;
	const struct hp_spawn *s = st->s;

	default_signals();
	for (int i = 0; i < HP_SPAWN_PIDS && s->pid_at[i]; i++)
		put_pid(s->pid_at[i], getpid());
	st->what = s->cwd;
	if (chdir(s->cwd) == 0) {
		st->what = "descriptors";
		if (place(s, st->fds) == 0) {
			st->what = "execve";
			(void)sigprocmask(SIG_SETMASK, s->mask, NULL); /* a good mask is not refused */
			execvpe(s->argv[0], s->argv, s->envp);
		}
	}
	st->errnum = errno;
	return EXIT_NOT_RUN;
}

/* execvpe(3) puts a path on the stack, and for a script without a first line the arguments. */
static size_t stack_size(const struct hp_spawn *s)
{
	size_t n = 0;

	while (s->argv[n])
		n++;
	return STACK_SIZE + n * sizeof(char *);
}

static pid_t run(struct start *st, int *ret_process)
{
	size_t size = stack_size(st->s);
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
			   -1, 0);
	sigset_t all, old;
	pid_t pid;

	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(become, stack + ((size - 1) & ~15ul), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
		    st, ret_process);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)munmap(stack, size); /* it was mapped above */
	return pid;
}

pid_t hp_spawn(const struct hp_spawn *s, int *ret_process, struct hp_err *err)
{
	struct start st = {.s = s, .fds = malloc((s->n_fds + 1) * sizeof(*st.fds))};
	hp_autoclose int process = -1;
	siginfo_t info;
	pid_t pid;

	if (!st.fds)
		return hp_err_set(err, -ENOMEM, "no memory");
	memcpy(st.fds, s->fds, s->n_fds * sizeof(*st.fds));
	pid = run(&st, &process);
	free(st.fds);
	if (pid < 0)
		return hp_err_sys(err, -pid, "clone");
	if (st.errnum) {
		(void)waitid(P_PIDFD, (id_t)process, &info, WEXITED); /* or SIGCHLD is ignored */
		return hp_err_sys(err, st.errnum, "can't start process %s: %s", s->argv[0], st.what);
	}
	*ret_process = HP_TAKE_FD(process);
	return pid;
}
