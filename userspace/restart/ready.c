/* SPDX-License-Identifier: MIT */
#include "restart/ready.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "service/fds.h"
#include "target/threads.h"

#define POLLFDS_MAX 4096

static bool copy(pid_t pid, uint64_t from, void *to, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)(uintptr_t)from, n};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

static bool in_pollfds(pid_t pid, const struct hp_blocked *b, int fd)
{
	static struct pollfd v[POLLFDS_MAX];
	size_t n = b->args[1] < POLLFDS_MAX ? (size_t)b->args[1] : POLLFDS_MAX;

	if (!copy(pid, b->args[0], v, n * sizeof(*v)))
		return false;
	for (size_t i = 0; i < n; i++)
		if (v[i].fd == fd && v[i].events & POLLIN)
			return true;
	return false;
}

/* The kernel has its own copy of the set, and writes to this one only when the call returns. */
static bool in_read_set(pid_t pid, const struct hp_blocked *b, int fd)
{
	unsigned long word;
	uint64_t at = b->args[1] + (uint64_t)fd / 64 * sizeof(word);

	return (uint64_t)fd < b->args[0] && b->args[1] && copy(pid, at, &word, sizeof(word)) &&
	       word >> fd % 64 & 1;
}

bool hp_blocked_waits_for(const struct hp_blocked *b, pid_t pid, int fd)
{
	if (b->running)
		return false;
	switch (b->nr) {
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_read:
		return (int)b->args[0] == fd;
	case SYS_poll:
	case SYS_ppoll:
		return in_pollfds(pid, b, fd);
	case SYS_select:
	case SYS_pselect6:
		return in_read_set(pid, b, fd);
	}
	return false;
}

/* Calls @fn for the threads that wait for @fd, until one returns true: whether one did. */
static bool each_waiting(pid_t pid, int fd, bool (*fn)(pid_t pid, pid_t tid))
{
	struct hp_blocked b;
	struct dirent *e;
	bool found = false;
	char path[64];
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d)))
		found = e->d_name[0] >= '0' && e->d_name[0] <= '9' &&
			hp_blocked_read(&b, pid, atoi(e->d_name)) &&
			hp_blocked_waits_for(&b, pid, fd) && fn(pid, atoi(e->d_name));
	if (d)
		closedir(d);
	return found;
}

static bool is_one(pid_t pid, pid_t tid)
{
	return true;
}

static bool any_thread_waits_for(pid_t pid, int fd)
{
	return each_waiting(pid, fd, is_one);
}

static bool wake(pid_t pid, pid_t tid)
{
	if (hp_thread_stop(pid, tid, 0, NULL) == 0)
		(void)hp_thread_release(tid); /* 0 too when it died */
	return false;
}

void hp_wake_acceptors(pid_t pid, int fd)
{
	(void)each_waiting(pid, fd, wake); /* all of them */
}

static bool in_an_epoll(const struct hp_interests *waits, ino_t ino)
{
	for (size_t i = 0; i < waits->n; i++)
		if (waits->v[i].ino == ino)
			return true;
	return false;
}

static int look_at(struct hp_readiness *ret, const struct hp_listeners *l, pid_t pid)
{
	struct hp_interests waits = {0};
	struct hp_fd_list fds = {0};
	int r = hp_fd_list_read(&fds, pid);

	if (r == 0)
		r = hp_interests_read(&waits, pid);
	for (size_t i = 0; r == 0 && i < fds.n; i++) {
		const struct hp_listener *of = NULL;
		size_t k;

		if (fds.v[i].kind == HP_FD_SOCKET)
			of = hp_listeners_find(l, fds.v[i].ino);
		if (!of)
			continue;
		k = (size_t)(of - l->v);
		ret->held[k] = true;
		if (!ret->waited[k])
			ret->waited[k] = in_an_epoll(&waits, of->ino) ||
					 any_thread_waits_for(pid, fds.v[i].fd);
	}
	hp_interests_free(&waits);
	hp_fd_list_free(&fds);
	return r == -ENOMEM ? r : 0;
}

static void forget(struct hp_readiness *r)
{
	free(r->held);
	free(r->waited);
	*r = (struct hp_readiness){0};
}

int hp_readiness_read(struct hp_readiness *ret, const struct hp_listeners *l,
		      const struct hp_procs *procs)
{
	int r = 0;

	if (ret->n != l->n) {
		forget(ret);
		ret->held = calloc(l->n, sizeof(bool));
		ret->waited = calloc(l->n, sizeof(bool));
		if (!ret->held || !ret->waited)
			return -ENOMEM;
		ret->n = l->n;
	}
	memset(ret->held, 0, l->n * sizeof(bool));
	memset(ret->waited, 0, l->n * sizeof(bool));
	for (size_t i = 0; r == 0 && i < procs->n; i++)
		r = look_at(ret, l, procs->v[i]);
	return r;
}
