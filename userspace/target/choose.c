/* SPDX-License-Identifier: MIT */
/*
 * target/choose.c – an allow-list: system calls that lose nothing when they are interrupted and
 * begun again.  A blocking write, send or recv(MSG_WAITALL) would answer a short count that nobody
 * can take back, so they are not in it.
 */
#include "target/choose.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"
#include "target/blocked.h"
#include "target/threads.h"

static const struct {
	long nr;
	int rank;
	const char *name;
} calls[] = {
	{SYS_futex, 1, "futex"},
	{SYS_pause, 2, "pause"},
	{SYS_rt_sigsuspend, 2, "rt_sigsuspend"},
	{SYS_wait4, 2, "wait4"},
	{SYS_waitid, 2, "waitid"},
	/* These, and semop, answer a stop with EINTR until that is mended (threads.c). */
	{SYS_accept, 3, "accept"},
	{SYS_accept4, 3, "accept4"},
	{SYS_epoll_wait, 3, "epoll_wait"},
	{SYS_epoll_pwait, 3, "epoll_pwait"},
	{SYS_epoll_pwait2, 3, "epoll_pwait2"},
	{SYS_rt_sigtimedwait, 3, "rt_sigtimedwait"},
	{SYS_semop, 4, "semop"},
	{SYS_semtimedop, 4, "semtimedop"},
	{SYS_poll, 4, "poll"},
	{SYS_ppoll, 4, "ppoll"},
	{SYS_select, 4, "select"},
	{SYS_pselect6, 4, "pselect6"},
	{SYS_nanosleep, 5, "nanosleep"},
	{SYS_clock_nanosleep, 5, "clock_nanosleep"},
	{SYS_restart_syscall, 5, "a restarted wait"},
	{449 /* futex_waitv, Linux 5.16 */, 6, "futex_waitv"},
	{SYS_read, 50, "read"},
	/* only to be named */
	{SYS_write, HP_CHOICE_NEVER, "write"},
	{SYS_recvfrom, HP_CHOICE_NEVER, "recvfrom"},
	{SYS_recvmsg, HP_CHOICE_NEVER, "recvmsg"},
	{SYS_sendto, HP_CHOICE_NEVER, "sendto"},
	{SYS_sendmsg, HP_CHOICE_NEVER, "sendmsg"},
	{SYS_connect, HP_CHOICE_NEVER, "connect"},
	{SYS_vfork, HP_CHOICE_NEVER, "vfork"},
};
#define N_CALLS	     (sizeof(calls) / sizeof(calls[0]))
#define RANK_BEST    0
#define RANK_TIMEOUT 6 /* a futex wait with a time-out */
#define RANK_DATAGRAM 7
#define TABLE_MAX (1u << 20)

static int rank_of(const struct hp_blocked *b)
{
	if (b->running)
		return HP_CHOICE_RUNNING;
	if (b->nr == SYS_futex) {
		int op = (int)b->args[1] & FUTEX_CMD_MASK;

		if (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET)
			return HP_CHOICE_NEVER;
		return b->args[3] ? RANK_TIMEOUT : RANK_BEST;
	}
	for (size_t i = 0; i < N_CALLS; i++)
		if (calls[i].nr == b->nr)
			return calls[i].rank;
	return HP_CHOICE_NEVER;
}

static bool table_has(pid_t pid, const char *name, unsigned long wanted)
{
	char path[64], *text, *line, *rest;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
	if (hp_read_file(AT_FDCWD, path, TABLE_MAX, &text, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line && !found; line = strtok_r(NULL, "\n", &rest)) {
		unsigned long ino;

		found = sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lu", &ino) == 1 &&
			ino == wanted;
	}
	free(text);
	return found;
}

/* A datagram comes whole or not at all: waiting for one is begun again without a loss. */
static bool waits_for_datagram(const struct hp_blocked *b, pid_t pid)
{
	char path[64], link[64];
	unsigned long number;
	ssize_t n;

	if (b->running || (b->nr != SYS_recvfrom && b->nr != SYS_recvmsg))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, (int)b->args[0]);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = 0;
	if (sscanf(link, "socket:[%lu]", &number) != 1)
		return false;
	return table_has(pid, "udp", number) || table_has(pid, "udp6", number);
}

static void choice_read(struct hp_choice *ret, pid_t pid, pid_t tid)
{
	struct hp_blocked b;

	*ret = (struct hp_choice){.tid = tid, .rank = HP_CHOICE_NEVER, .nr = -1};
	if (!hp_blocked_read(&b, pid, tid))
		return;
	ret->rank = waits_for_datagram(&b, pid) ? RANK_DATAGRAM : rank_of(&b);
	ret->nr = b.nr;
	ret->sp = b.sp;
}

static int compare(const void *a, const void *b)
{
	const struct hp_choice *x = a, *y = b;

	return x->rank != y->rank ? x->rank - y->rank : x->tid - y->tid;
}

int hp_choices_read(struct hp_choices *ret, const struct hp_target *t, bool enough,
		    struct hp_err *err)
{
	struct hp_pids tids = {0};
	int r = hp_threads_list(t, &tids, err);

	if (r < 0)
		return r;
	ret->n = 0;
	/* The last first: workers wait longer than the main thread does. */
	for (size_t i = tids.n; i-- > 0;) {
		struct hp_choice *c = HP_ARRAY_ADD(ret);

		if (!c) {
			hp_pids_free(&tids);
			return hp_err_sys(err, ENOMEM, "threads of process %d", (int)t->pid);
		}
		choice_read(c, t->pid, tids.v[i]);
		if (enough && c->rank == RANK_BEST)
			break;
	}
	hp_pids_free(&tids);
	qsort(ret->v, ret->n, sizeof(ret->v[0]), compare);
	return 0;
}

void hp_choices_free(struct hp_choices *c)
{
	HP_ARRAY_FREE(c);
}

static void name_of(const struct hp_choice *c, char *buf, size_t n)
{
	if (c->rank == HP_CHOICE_RUNNING) {
		(void)snprintf(buf, n, "running");
		return;
	}
	for (size_t i = 0; i < N_CALLS; i++) {
		if (calls[i].nr == c->nr) {
			(void)snprintf(buf, n, "in %s", calls[i].name);
			return;
		}
	}
	if (c->nr < 0)
		(void)snprintf(buf, n, "waiting for memory");
	else
		(void)snprintf(buf, n, "in system call %ld", c->nr);
}

const char *hp_choices_describe(const struct hp_choices *c, char *buf, size_t n)
{
	size_t used = 0;

	buf[0] = 0;
	for (size_t i = 0; i < c->n && used < n; i++) {
		char name[64], other[64];
		size_t count = 0;
		bool told = false;

		name_of(&c->v[i], name, sizeof(name));
		for (size_t j = 0; j < c->n; j++) {
			name_of(&c->v[j], other, sizeof(other));
			if (strcmp(name, other) != 0)
				continue;
			told |= j < i;
			count++;
		}
		if (!told)
			used += (size_t)snprintf(buf + used, n - used, "%s%zu thread%s %s",
						 used ? ", " : "", count, count == 1 ? "" : "s", name);
	}
	return buf;
}
