/* SPDX-License-Identifier: MIT */
/*
 * Everybody's parent is read, for /proc/PID/task/TID/children is not there on every kernel.  The
 * order in /proc is by number, which says nothing: children are found by asking again until no more
 * come.
 *
 * The numbers come in batches: a process that forks after its batch was made, and ends before it is
 * read, hides its child.
 */
#include "service/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "target/procfs.h"

#define KILL_NS	 (10 * HP_S)
#define KILL_GAP (1 * HP_MS)

/* Listings until two agree; of a program that forks all the time the last one counts. */
#define LISTINGS 4

struct kinship {
	pid_t pid, parent;
	bool ended, taken;
};

struct kin {
	struct kinship *v;
	size_t n, room;
	bool missed; /* one that was listed was gone when it was read */
};

static int read_one(struct kin *ret, pid_t pid)
{
	struct kinship *k;
	struct hp_stat st;

	if (hp_stat_read(pid, &st) < 0) {
		ret->missed = true;
		return 0;
	}
	k = HP_ARRAY_ADD(ret);
	if (!k)
		return -ENOMEM;
	*k = (struct kinship){.pid = pid,
			      .parent = (pid_t)st.field[HP_STAT_PPID],
			      .ended = st.state == 'Z' || st.state == 'X'};
	return 0;
}

static int read_kin(struct kin *ret)
{
	struct hp_pids all = {0};
	int r = hp_procfs_list("/proc", &all);

	for (size_t i = 0; r == 0 && i < all.n; i++)
		r = read_one(ret, all.v[i]);
	hp_pids_free(&all);
	return r;
}

static int add(struct hp_procs *to, pid_t pid)
{
	pid_t *v = HP_ARRAY_ADD(to);

	if (!v)
		return -ENOMEM;
	*v = pid;
	return 0;
}

static int add_children(struct hp_procs *to, struct kin *kin, pid_t parent)
{
	for (size_t i = 0; i < kin->n; i++) {
		if (kin->v[i].taken || kin->v[i].parent != parent)
			continue;
		kin->v[i].taken = true;
		kin->missed |= kin->v[i].ended;
		if (!kin->v[i].ended && add(to, kin->v[i].pid) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* 1: one that ended meanwhile may have left a child that was not listed yet. */
static int list(struct hp_procs *ret, pid_t pid, bool itself)
{
	struct kin kin = {0};
	int r = read_kin(&kin);

	ret->n = 0;
	if (r == 0 && itself)
		r = add(ret, pid);
	if (r == 0 && !itself)
		r = add_children(ret, &kin, pid);
	for (size_t i = 0; r == 0 && i < ret->n; i++)
		r = add_children(ret, &kin, ret->v[i]);
	HP_ARRAY_FREE(&kin);
	return r == 0 ? kin.missed : r;
}

static bool same(const struct hp_procs *a, const struct hp_procs *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->v, b->v, a->n * sizeof(a->v[0])));
}

int hp_procs_below(struct hp_procs *ret, pid_t pid, bool itself)
{
	struct hp_procs before = {0};
	int r = list(ret, pid, itself);

	for (int i = 1; r == 1 && i < LISTINGS; i++) {
		struct hp_procs swap = before;

		before = *ret;
		*ret = swap;
		r = list(ret, pid, itself);
		if (r == 1 && same(ret, &before))
			r = 0;
	}
	hp_procs_free(&before);
	return r < 0 ? r : 0;
}

/* Of @root's, or of one that is held: of a parent that has ended by now the number may be another's.  A
 * dead one's children are @root's, where that adopts them. */
static bool descends(const struct hp_procs *procs, const int *pidfd, size_t i, pid_t root, int root_fd)
{
	struct hp_stat st;
	pid_t parent;

	if (hp_stat_read(procs->v[i], &st) < 0)
		return false;
	parent = (pid_t)st.field[HP_STAT_PPID];
	if (parent == root)
		return root_fd < 0 || hp_pidfd_lives(root_fd);
	for (size_t k = 0; k < i; k++)
		if (procs->v[k] == parent)
			return hp_pidfd_lives(pidfd[k]);
	return false;
}

/* Looked at once more when it is held: until then the number may become another's. */
static int hold(const struct hp_procs *procs, int *pidfd, size_t i, pid_t root, int root_fd)
{
	if (procs->v[i] == root) {
		pidfd[i] = root_fd < 0 ? -1 : fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
		return root_fd >= 0 && pidfd[i] < 0 ? -errno : 0;
	}
	pidfd[i] = pidfd_open(procs->v[i], 0);
	if (pidfd[i] < 0) /* gone; or by now the number is a thread's */
		return errno == ESRCH || errno == EINVAL || errno == ENOENT ? 0 : -errno;
	if (!descends(procs, pidfd, i, root, root_fd))
		hp_close(&pidfd[i]);
	return 0;
}

int hp_procs_hold(const struct hp_procs *procs, pid_t root, int root_fd, int **ret)
{
	int r = 0;

	*ret = calloc(procs->n + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < procs->n; i++) {
		int k = hold(procs, *ret, i, root, root_fd);

		r = k < 0 ? k : r;
	}
	return r;
}

void hp_procs_let_go(const struct hp_procs *procs, int *pidfds)
{
	for (size_t i = 0; pidfds && i < procs->n; i++)
		hp_close(&pidfds[i]);
	free(pidfds);
}

/* All are held before one is killed: what it leaves has another parent. */
int hp_procs_kill(const struct hp_procs *procs, pid_t root, int root_fd)
{
	int *pidfd, r = hp_procs_hold(procs, root, root_fd, &pidfd);

	for (size_t i = 0; pidfd && i < procs->n; i++)
		if (pidfd[i] >= 0)
			(void)pidfd_send_signal(pidfd[i], SIGKILL, NULL, 0); /* or it is gone already */
	hp_procs_let_go(procs, pidfd);
	return r;
}

bool hp_procs_none_below(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}

bool hp_procs_have(const struct hp_procs *procs, pid_t pid)
{
	for (size_t i = 0; i < procs->n; i++)
		if (procs->v[i] == pid)
			return true;
	return false;
}

void hp_procs_free(struct hp_procs *procs)
{
	HP_ARRAY_FREE(procs);
}

int hp_procs_kill_below(void)
{
	uint64_t end = hp_now_ns() + KILL_NS;
	struct hp_procs procs = {0};
	int r;

	for (;;) {
		r = hp_procs_below(&procs, getpid(), false);
		if (r == 0)
			(void)hp_procs_kill(&procs, getpid(), -1); /* who could not be tried is, again */
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (r < 0 || hp_procs_none_below())
			break;
		if (hp_now_ns() > end) {
			r = -ETIMEDOUT;
			break;
		}
		hp_pause_ns(KILL_GAP);
	}
	hp_procs_free(&procs);
	return r;
}
