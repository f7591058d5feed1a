/* SPDX-License-Identifier: MIT */
#include "patch/work.h"

#include <stdlib.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "gate/gate.h"
#include "hp/err.h"
#include "target/agent.h"
#include "target/unwind.h"

void hp_work_report(struct hp_work *w, const char *step, uint64_t since_ns, const char *detail)
{
	if (w->ops->report.step)
		w->ops->report.step(w->ops->report.arg, step,
				    since_ns ? hp_now_ns() - since_ns : 0, detail);
}

static int permitted(struct hp_work *w, int patch_fd, struct hp_err *err)
{
	const struct hp_ops_permit *p = &w->ops->permit;

	return p->ask ? p->ask(p->arg, w->t, patch_fd, &w->seal, err) : 0;
}

/* Of what others do meanwhile, the patch's reader takes longest and is waited for first. */
int hp_work_open(struct hp_work *w, struct hp_ops *ops, pid_t pid,
		 const struct hp_work_patch *patch, enum hp_work_kind kind, uint64_t timeout_ns,
		 struct hp_err *err)
{
	struct hp_look_progs progs;
	int r;

	if (ops->watch)
		progs = (struct hp_look_progs){hp_watch_snap_prog(ops->watch),
					       hp_watch_sharer_prog(ops->watch)};
	*w = (struct hp_work){.ops = ops, .started_ns = hp_now_ns()};
	w->deadline_ns = w->started_ns + timeout_ns;
	if ((r = hp_target_open(&w->t, pid, err)) < 0 ||
	    (r = permitted(w, patch ? patch->fd : -1, err)) < 0 ||
	    (patch && (r = hp_file_open(&w->file, patch->fd, patch->name, err)) < 0) ||
	    (kind == HP_WORK_TOUCHES && (r = hp_gate_start(&w->gate, err)) < 0) ||
	    (r = hp_ledgers_read(w->t, &w->ledgers, err)) < 0 ||
	    (r = hp_looker_open(&w->looker, w->t, ops->watch ? &progs : NULL, err)) < 0)
		(void)hp_work_close(w, NULL); /* nothing was started that could fail to end */
	return r;
}

int hp_work_expect(struct hp_work *w, struct hp_err *err)
{
	return hp_unwind_expect(hp_looker_unwind(w->looker), err);
}

int hp_work_touch(struct hp_work *w, struct hp_err *err)
{
	uint64_t since = hp_now_ns();
	int r = 0;

	if (!w->gate)
		r = hp_gate_start(&w->gate, err);
	if (r >= 0)
		r = hp_agent_start(&w->agent, w->t, w->looker, w->deadline_ns, err);
	if (r >= 0)
		hp_work_report(w, "agent", since, NULL);
	return r;
}

int hp_work_revive(struct hp_work *w, struct hp_err *err)
{
	int r;

	if (w->agent && hp_agent_syscall(w->agent, SYS_getpid, 0, 0, 0, 0, 0, 0) >= 0)
		return 0;
	r = hp_agent_end(w->agent, err);
	w->agent = NULL;
	return r < 0 ? r
		     : hp_agent_start(&w->agent, w->t, w->looker,
				      hp_now_ns() + HP_DEFAULT_TIMEOUT_NS, err);
}

static void free_parts(struct hp_work *w)
{
	hp_gate_stop(w->gate);
	hp_looker_free(w->looker);
	hp_ledgers_free(&w->ledgers);
	hp_pairs_free(&w->seal);
	hp_target_free(w->t);
	hp_file_free(&w->file);
}

void hp_ops_end(struct hp_ops *ops)
{
	struct hp_work *w;

	while ((w = ops->rest)) {
		ops->rest = w->next;
		free_parts(w);
		free(w);
	}
}

/* Waiting for the end of gatekeeper and readers and freeing takes milliseconds, and somebody waits
 * for the answer. */
static bool leave_rest(const struct hp_work *w)
{
	struct hp_work *rest = malloc(sizeof(*rest));

	if (!rest)
		return false;
	*rest = *w;
	rest->next = w->ops->rest;
	w->ops->rest = rest;
	return true;
}

int hp_work_close(struct hp_work *w, struct hp_err *err)
{
	bool touched = w->agent;
	int r = 0;

	hp_gate_release(w->gate);
	if (w->agent)
		r = hp_agent_end(w->agent, err);
	/* A target that ended took everything of ours with it, and what was done in it is no more. */
	if (touched && hp_target_check(w->t, err) < 0)
		r = -HP_E_GONE;
	w->agent = NULL;
	if (!touched || !leave_rest(w))
		free_parts(w);
	*w = (struct hp_work){0};
	return r;
}

int hp_work_live(struct hp_work *w, struct hp_ledger *l, uint64_t park_ns, struct hp_live **ret,
		 struct hp_err *err)
{
	struct hp_live *lv;
	int r = hp_live_open(&lv, w->ops, w->t, w->looker, l, &w->ledgers, err);

	if (r < 0)
		return r;
	/* Now, so that a thread that parks need not wait for it.  Of the patch that was just mapped
	 * nobody has a frame yet. */
	r = hp_unwind_prepare(hp_looker_unwind(w->looker), err);
	if (r < 0) {
		hp_live_free(lv);
		return r;
	}
	lv->agent = w->agent;
	lv->gate = w->gate;
	lv->deadline_ns = w->deadline_ns;
	lv->park_left_ns = park_ns;
	*ret = lv;
	return 0;
}
