/* SPDX-License-Identifier: MIT */
/*
 * target/agent_clean.c – what a killed hpd leaves: an agent that the kernel killed with it, dead
 * and unreaped, and the agent's memory.  /proc/PID/task/TID/children is not on every kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "target/agent.h"
#include "target/agent_priv.h"
#include "target/borrow.h"
#include "target/pidns.h"
#include "target/procfs.h"

#define MEMORY	  "/memfd:" HP_AGENT_NAME
#define MAPS_MAX  (64u << 20)
#define BORROW_NS (2 * HP_S)
#define DYING_NS  (1 * HP_S)

#define KCMP_VM_TYPE 1	 /* linux/kcmp.h */
#define PF_EXITING   0x4 /* linux/sched.h */

struct leftovers {
	HP_ARRAY(pid_t) dead;
	HP_ARRAY(struct hp_range) memory;
	pid_t alive; /* an agent at work, or just dying; 0: none */
};

/* Exit signal 0 alone would also be a child that the program cloned for itself. */
static bool died_as_agent(const struct hp_stat *st)
{
	uint64_t code = st->field[HP_STAT_EXIT_CODE];

	return strcmp(st->comm, HP_AGENT_NAME) == 0 || code == SIGKILL ||
	       code == HP_AGENT_UNDRIVEN << 8;
}

/* Dead ones, and whoever is still at work. */
static int look_at_child(struct leftovers *lo, pid_t parent, pid_t pid)
{
	struct hp_stat st;
	pid_t *v;

	if (hp_stat_read(pid, &st) < 0 || (pid_t)st.field[HP_STAT_PPID] != parent ||
	    st.field[HP_STAT_EXIT_SIGNAL] != 0)
		return 0;
	if (st.state != 'Z') {
		if (st.field[HP_STAT_FLAGS] & PF_EXITING ||
		    syscall(SYS_kcmp, pid, parent, KCMP_VM_TYPE, 0, 0) == 0)
			lo->alive = pid;
		return 0;
	}
	if (!died_as_agent(&st))
		return 0;
	v = HP_ARRAY_ADD(&lo->dead);
	if (!v)
		return -ENOMEM;
	*v = pid;
	return 0;
}

static int find_children(struct leftovers *lo, pid_t parent)
{
	struct hp_pids all = {0};
	int r = hp_procfs_list("/proc", &all);

	for (size_t i = 0; r == 0 && i < all.n; i++)
		r = look_at_child(lo, parent, all.v[i]);
	hp_pids_free(&all);
	return r;
}

static int find_memory(struct leftovers *lo, const struct hp_maps *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct hp_range *v;

		if (strncmp(m->v[i].path, MEMORY, strlen(MEMORY)) != 0)
			continue;
		v = HP_ARRAY_ADD(&lo->memory);
		if (!v)
			return -ENOMEM;
		*v = (struct hp_range){m->v[i].lo, m->v[i].hi};
	}
	return 0;
}

static int reap(struct hp_target *t, struct hp_looker *l, const struct leftovers *lo,
		struct hp_err *err)
{
	struct hp_borrow *b;
	int64_t failed = 0;
	int r;

	r = hp_borrow_begin(&b, t, l, HP_BORROW_SYSCALL, hp_now_ns() + BORROW_NS, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < lo->dead.n; i++) {
		const uint64_t args[6] = {(uint64_t)hp_pidns_seen_by(t->pid, lo->dead.v[i]), 0,
					  __WALL | WNOHANG};
		int64_t n = args[0] ? hp_borrow_syscall(b, SYS_wait4, args) : 0;

		if (n < 0 && n != -ECHILD)
			failed = n;
	}
	r = hp_borrow_end(b, err);
	if (r == 0 && failed < 0)
		r = hp_err_sys(err, (int)-failed, "reaping an earlier hpd's agents in process %d",
			       (int)t->pid);
	return r;
}

static int clean(struct hp_target *t, struct hp_looker *l, const struct leftovers *lo,
		 struct hp_err *err)
{
	int r = lo->dead.n ? reap(t, l, lo, err) : 0;

	return r == 0 && lo->memory.n ? hp_agent_unmap_left(t, l, lo->memory.v, lo->memory.n, err) : r;
}

static bool has_memory(pid_t pid)
{
	char path[64], *maps;
	bool has;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	if (hp_read_file(AT_FDCWD, path, MAPS_MAX, &maps, NULL) < 0)
		return false;
	has = strstr(maps, MEMORY);
	free(maps);
	return has;
}

/* The process in which @pid, or its memory, is a trace of an agent; 0: in none. */
static pid_t traced_in(pid_t pid)
{
	struct hp_stat st;

	if (hp_stat_read(pid, &st) < 0)
		return 0;
	if (st.state == 'Z' && !st.field[HP_STAT_EXIT_SIGNAL] && died_as_agent(&st))
		return (pid_t)st.field[HP_STAT_PPID];
	return st.state != 'Z' && has_memory(pid) ? pid : 0;
}

int hp_agent_traces(struct hp_pids *ret, struct hp_err *err)
{
	struct hp_pids all = {0};
	int r = hp_procfs_list("/proc", &all);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		pid_t in = traced_in(all.v[i]), *v;

		if (!in)
			continue;
		v = HP_ARRAY_ADD(ret);
		if (v)
			*v = in;
		else
			r = -ENOMEM;
	}
	hp_pids_free(&all);
	return r < 0 ? hp_err_sys(err, -r, "who is in /proc") : 0;
}

/* The kernel kills an agent after its controller: a moment later. */
static int find_settled(struct leftovers *lo, pid_t parent)
{
	uint64_t deadline_ns = hp_now_ns() + DYING_NS;

	for (;;) {
		int r;

		lo->alive = 0;
		lo->dead.n = 0;
		r = find_children(lo, parent);
		if (r < 0 || !lo->alive || hp_now_ns() >= deadline_ns)
			return r;
		hp_pause_ns(HP_MS);
	}
}

int hp_agent_clean(struct hp_target *t, struct hp_looker *l, struct hp_err *err)
{
	struct leftovers lo = {0};
	int r = find_settled(&lo, t->pid);

	if (r == 0)
		r = hp_maps_read(&t->maps, t->pid, err);
	else
		r = hp_err_sys(err, -r, "children of process %d", (int)t->pid);
	if (r == 0 && find_memory(&lo, &t->maps) < 0)
		r = hp_err_sys(err, ENOMEM, "mappings of process %d", (int)t->pid);
	if (r == 0 && lo.alive)
		r = hp_err_set(err, -EBUSY, "another hpd is at work in process %d (its agent is process %d)",
			       (int)t->pid, (int)lo.alive);
	if (r == 0 && (lo.dead.n || lo.memory.n) && (r = clean(t, l, &lo, err)) == 0)
		r = 1;
	HP_ARRAY_FREE(&lo.dead);
	HP_ARRAY_FREE(&lo.memory);
	return r;
}
