/* SPDX-License-Identifier: MIT */
#include "cli/start.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"

#define READY_MS 30000 /* it looks at every process first */
#define READY_FD 3

struct hp_start {
	char socket[PATH_MAX];
	int lock;
};

int hp_start_begin(struct hp_start **ret, const char *socket, struct hp_err *err)
{
	struct hp_start *s = calloc(1, sizeof(*s));
	char name[PATH_MAX + 16], copy[PATH_MAX];

	if (!s)
		return hp_err_sys(err, ENOMEM, "start of hpd");
	snprintf(s->socket, sizeof(s->socket), "%s", socket);
	snprintf(copy, sizeof(copy), "%s", socket);
	snprintf(name, sizeof(name), "%s.start", s->socket);
	if (mkdir(dirname(copy), 0755) < 0 && errno != EEXIST) {
		free(s);
		return hp_err_sys(err, errno, "directory of %s", socket);
	}
	s->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock < 0 || flock(s->lock, LOCK_EX) < 0) {
		int e = errno;

		hp_start_end(s);
		return hp_err_sys(err, e, "lock %s", name);
	}
	*ret = s;
	return 0;
}

void hp_start_end(struct hp_start *s)
{
	hp_close(&s->lock);
	free(s);
}

/* Beside our own file, else on the PATH. */
static void find_hpd(char *buf, size_t n)
{
	ssize_t k = readlink("/proc/self/exe", buf, n - 1);
	char *slash;

	if (k > 0) {
		buf[k] = 0;
		slash = strrchr(buf, '/');
		snprintf(slash, n - (size_t)(slash - buf), "/hpd");
		if (access(buf, X_OK) == 0)
			return;
	}
	snprintf(buf, n, "hpd");
}

static _Noreturn void become_hpd(const char *socket, int ready, int log, bool talk)
{
	char hpd[PATH_MAX], fd[16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	find_hpd(hpd, sizeof(hpd));
	snprintf(fd, sizeof(fd), "%d", READY_FD);
	setsid();
	/* It outlives us: nothing that our caller waits for may stay open in it. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    (!talk && dup2(log, STDERR_FILENO) < 0) || dup2(ready, READY_FD) < 0 ||
	    fcntl(READY_FD, F_SETFD, 0) < 0 || chdir("/") < 0)
		_exit(127);
	(void)close_range(READY_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC); /* then they are inherited */
	execlp(hpd, "hpd", "--socket", socket, "--idle-exit", "--ready-fd", fd, NULL);
	dprintf(STDERR_FILENO, "%s: %s\n", hpd, strerror(errno));
	_exit(127);
}

/* What it said last, for our own error. */
static void last_line(int log, char *buf, size_t n)
{
	struct pollfd p = {.fd = log, .events = POLLIN};
	char *line, *said;
	ssize_t k = 0;

	buf[0] = 0;
	if (poll(&p, 1, 0) > 0)
		k = read(log, buf, n - 1);
	buf[k > 0 ? k : 0] = 0;
	while (*buf && buf[strlen(buf) - 1] == '\n')
		buf[strlen(buf) - 1] = 0;
	line = strrchr(buf, '\n');
	line = line ? line + 1 : buf;
	said = strstr(line, "hpd: ");
	if (said)
		line = said + 5;
	memmove(buf, line, strlen(line) + 1);
}

static int wait_ready(pid_t pid, int ready, int log, struct hp_err *err)
{
	struct pollfd p = {.fd = ready, .events = POLLIN};
	char said[512], c;
	int k = poll(&p, 1, READY_MS);

	if (k > 0 && read(ready, &c, 1) == 1)
		return 0;
	if (k == 0)
		return hp_err_set(err, -HP_E_UNREACHABLE,
				  "hpd (process %d) was started but is not ready after %d s", pid,
				  READY_MS / 1000);
	waitpid(pid, NULL, 0);
	last_line(log, said, sizeof(said));
	return hp_err_set(err, -HP_E_UNREACHABLE, "hpd does not start: %s",
			  *said ? said : "it said nothing");
}

int hp_start_hpd(struct hp_start *s, bool talk, struct hp_err *err)
{
	int ready[2], log[2], k;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return hp_err_sys(err, errno, "start of hpd");
	if (pipe2(log, O_CLOEXEC) < 0) {
		k = hp_err_sys(err, errno, "start of hpd");
		close(ready[0]);
		close(ready[1]);
		return k;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_hpd(s->socket, ready[1], log[1], talk);
	close(ready[1]);
	close(log[1]);
	k = pid < 0 ? hp_err_sys(err, errno, "start of hpd") : wait_ready(pid, ready[0], log[0], err);
	close(ready[0]);
	close(log[0]);
	return k;
}
