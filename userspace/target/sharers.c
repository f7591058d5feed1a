/* SPDX-License-Identifier: MIT */
/*
 * target/sharers.c – whoever executes the target's code without being one of its threads: a child of
 * vfork(2), or of clone(CLONE_VM) without CLONE_THREAD.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <linux/types.h>
#include <unistd.h>

#include "base/array.h"
#include "hp/err.h"
#include "inflight.h"
#include "target/look_priv.h"

static int add(struct hp_pids *to, pid_t tid)
{
	pid_t *v = HP_ARRAY_ADD(to);

	if (!v)
		return -ENOMEM;
	*v = tid;
	return 0;
}

static int by_program(struct hp_looker *l, pid_t agent, struct hp_pids *ret)
{
	struct hp_sharer a = {.pid = l->t->pid, .except = agent};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &a, .ctx_size_in = sizeof(a));
	int r;

	for (;;) {
		r = bpf_prog_test_run_opts(l->progs.sharer, &opts);
		if (r == 0 && a.tid)
			r = add(ret, a.tid);
		if (r < 0 || !a.tid)
			return r;
		a.after = a.tid;
	}
}

bool hp_look_shares(struct hp_looker *l, pid_t tid)
{
	return syscall(SYS_kcmp, l->t->pid, tid, KCMP_VM, 0, 0) == 0;
}

/* Without the program every process is asked, and those that share are taken with all their threads. */
static int add_sharer(struct hp_looker *l, pid_t agent, pid_t pid, struct hp_pids *ret)
{
	struct hp_pids tids = {0};
	int r;

	if (pid == l->t->pid || pid == agent || !hp_look_shares(l, pid))
		return 0;
	r = hp_threads_of(pid, &tids);
	for (size_t i = 0; i < tids.n && r == 0; i++)
		r = add(ret, tids.v[i]);
	hp_pids_free(&tids);
	return r == -ESRCH ? 0 : r; /* it ended meanwhile */
}

static int by_asking(struct hp_looker *l, pid_t agent, struct hp_pids *ret)
{
	struct hp_pids all = {0};
	int r = hp_procfs_list("/proc", &all);

	for (size_t i = 0; i < all.n && r == 0; i++)
		r = add_sharer(l, agent, all.v[i], ret);
	hp_pids_free(&all);
	return r;
}

int hp_look_threads(struct hp_looker *l, pid_t agent, struct hp_pids *ret, size_t *n_own,
		    struct hp_err *err)
{
	int r = hp_threads_list(l->t, ret, err);
	size_t n = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n; i++)
		if (ret->v[i] != agent)
			ret->v[n++] = ret->v[i];
	ret->n = n;
	if (n_own)
		*n_own = n;
	/* Behind the threads: one that was listed may have been its parent. */
	r = l->progs.sharer >= 0 ? by_program(l, agent, ret) : by_asking(l, agent, ret);
	return r < 0 ? hp_err_sys(err, -r, "who shares the memory of process %d", (int)l->t->pid) : 0;
}
