/* SPDX-License-Identifier: MIT */
#include "target/pidns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "hp/err.h"
#include "target/procfs.h"
#include "target/threads.h"

#define LEVELS_MAX 33 /* MAX_PID_NS_LEVEL and the first: linux/pid_namespace.h */

/* From our namespace down to its own; how many there are. */
static size_t numbers(pid_t tid, pid_t nr[LEVELS_MAX])
{
	char text[LEVELS_MAX * 12], *p = text, *end;
	size_t n = 0;

	if (!hp_status_text(tid, "NSpid", text, sizeof(text)))
		return 0;
	while (n < LEVELS_MAX) {
		nr[n] = (pid_t)strtol(p, &end, 10);
		if (end == p)
			break;
		n++;
		p = end;
	}
	return n;
}

pid_t hp_pidns_seen_by(pid_t viewer, pid_t tid)
{
	pid_t its[LEVELS_MAX], nr[LEVELS_MAX];
	size_t level = numbers(viewer, its);

	return level && numbers(tid, nr) >= level ? nr[level - 1] : 0;
}

bool hp_pidns_unborn(pid_t pid, pid_t tid)
{
	char path[80], name[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/ns/pid_for_children", (int)pid, (int)tid);
	return readlink(path, name, sizeof(name)) < 0 && errno == ENOENT &&
	       hp_pidns_seen_by(pid, tid); /* else it is the thread that is not there */
}

static int add(struct hp_pidns *p, pid_t tid)
{
	pid_t nr[LEVELS_MAX];
	size_t level = numbers(tid, nr);
	struct hp_pidns_thread *v;

	if (!level)
		return 0; /* it has ended */
	v = HP_ARRAY_ADD(p);
	if (!v)
		return -ENOMEM;
	*v = (struct hp_pidns_thread){nr[level - 1], tid};
	return 0;
}

int hp_pidns_read(struct hp_pidns *ret, const struct hp_target *t, struct hp_err *err)
{
	struct hp_pids tids = {0};
	pid_t nr[LEVELS_MAX];
	int r = 0;

	ret->n = 0;
	ret->other = numbers(t->pid, nr) > 1;
	if (!ret->other)
		return 0;
	r = hp_threads_list(t, &tids, err);
	for (size_t i = 0; i < tids.n && r == 0; i++)
		if (add(ret, tids.v[i]) < 0)
			r = hp_err_sys(err, ENOMEM, "thread numbers of process %d", (int)t->pid);
	hp_pids_free(&tids);
	return r;
}

void hp_pidns_free(struct hp_pidns *p)
{
	HP_ARRAY_FREE(p);
}

static pid_t find(const struct hp_pidns *p, pid_t nr)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].nr == nr)
			return p->v[i].tid;
	return 0;
}

pid_t hp_pidns_tid(struct hp_pidns *p, const struct hp_target *t, pid_t nr)
{
	pid_t tid;

	if (!p->other)
		return nr;
	tid = find(p, nr);
	if (!tid && hp_pidns_read(p, t, NULL) == 0)
		tid = find(p, nr);
	return tid;
}
