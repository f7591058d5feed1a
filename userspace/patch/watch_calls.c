/* SPDX-License-Identifier: MIT */
/*
 * `hpctl watch --calls`: the slots of one patch lead through the watch path to its new code while
 * somebody looks.  No gate, no flip: the only writes are the slots', one byte each, and before and
 * after them the doors'.
 */
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/chain.h"
#include "patch/counting.h"
#include "patch/work.h"
#include "target/agent.h"

static struct hp_ledger *active(struct hp_work *w)
{
	for (size_t i = w->ledgers.n; i > 0; i--)
		if (hp_ledger_phase(w->ledgers.v[i - 1]) == HP_PHASE_ACTIVE)
			return w->ledgers.v[i - 1];
	return NULL;
}

static int count_until(struct hp_live *lv, int stop_fd, struct hp_err *err)
{
	struct hp_census c = {.lv = lv};
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};
	struct hp_session *s = NULL;
	int r = hp_live_set_scene(lv, HP_NEW, HP_PATHS, err), back;

	if (r >= 0)
		r = hp_counting_start(&s, lv, HP_NEW, true, err);
	if (r < 0)
		return r;
	if ((r = hp_live_show_second(lv, HP_PATH_NEW, err)) >= 0 &&
	    (r = hp_live_show_first(lv, HP_PATH_WATCH, err)) >= 0 &&
	    (r = hp_census_take(&c, err)) >= 0)
		r = hp_counting_baseline(s, &c, err);
	while (r >= 0 && poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			r = hp_err_sys(err, errno, "poll");
	back = hp_live_show_first(lv, HP_PATH_NEW, r < 0 ? NULL : err);
	hp_counting_stop(&s);
	hp_census_free(&c);
	return r < 0 ? r : back;
}

/* With an agent for that alone: a watch takes as long as somebody looks. */
static int bypass(struct hp_live *lv, bool on, struct hp_err *err)
{
	int r = hp_agent_start(&lv->agent, lv->t, lv->looker,
			       hp_now_ns() + HP_DEFAULT_TIMEOUT_NS, err), ended;

	if (r < 0)
		return r;
	r = hp_chain_bypass(lv, on, err);
	ended = hp_agent_end(lv->agent, r < 0 ? NULL : err);
	lv->agent = NULL;
	return r < 0 ? r : ended;
}

static int count_through_blocks(struct hp_live *lv, int stop_fd, struct hp_err *err)
{
	int r = bypass(lv, false, err), back;

	if (r < 0)
		return r;
	r = count_until(lv, stop_fd, err);
	back = r == -HP_E_GONE ? 0 : bypass(lv, true, r < 0 ? NULL : err);
	return r < 0 ? r : back;
}

int hp_op_watch_calls(struct hp_ops *ops, pid_t pid, int stop_fd, struct hp_err *err)
{
	struct hp_live *lv = NULL;
	struct hp_ledger *l;
	struct hp_work w;
	int r;

	if (!ops->view)
		return hp_err_set(err, -HP_E_DENIED, "calls cannot be counted without BPF");
	if ((r = hp_work_open(&w, ops, pid, NULL, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err)) < 0)
		return r;
	l = active(&w);
	if (!l)
		r = hp_err_set(err, -HP_E_NOT_LOADED, "no patch is active in process %d", pid);
	if (r >= 0 && (r = hp_work_live(&w, l, 0, &lv, err)) >= 0) {
		if (hp_counting_possible(lv, HP_NEW))
			r = count_through_blocks(lv, stop_fd, err);
		else
			r = hp_err_set(err, -HP_E_ENTRY, "the new functions cannot be watched: a "
							 "jump in one of them may leave it or not");
	}
	hp_live_free(lv);
	(void)hp_work_close(&w, NULL); /* the agents that were started have ended */
	return r;
}
