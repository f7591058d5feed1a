/* SPDX-License-Identifier: MIT */
/*
 * What a job that was killed has left in a target is ended or taken back.  What is to be done for a
 * patch in each phase is told by unload.c; here is which of them, and what may be left of one at rest.
 */
#include <stdio.h>

#include "base/fault.h"
#include "hp/err.h"
#include "patch/chain.h"
#include "patch/unload.h"
#include "target/agent.h"

struct recovery {
	struct hp_work w;
	bool touched;
	size_t taken_out, rested;
};

static int touch(struct recovery *rc, struct hp_err *err)
{
	int r = rc->touched ? 0 : hp_work_touch(&rc->w, err);

	rc->touched |= r >= 0;
	return r;
}

/* In a child that was forked meanwhile, old code runs for good: it keeps its copy. */
static bool is_half_way(const struct recovery *rc, const struct hp_ledger *l)
{
	return hp_ledger_phase(l) != HP_PHASE_ACTIVE && hp_ledger_is_own(l, rc->w.t);
}

/* One that cannot be taken out does not keep the others. */
static int end_half_way(struct recovery *rc, struct hp_err *err)
{
	const struct hp_unload_request req = {.park_ns = HP_DEFAULT_PARK_NS,
					      .quiesce = HP_QUIESCE_AUTO};
	struct hp_ledgers *ls = &rc->w.ledgers;
	int r = 0;

	for (size_t i = 0; i < ls->n && r != -HP_E_GONE;) {
		struct hp_unload_result res = {0};
		int k;

		if (!is_half_way(rc, ls->v[i])) {
			i++;
			continue;
		}
		if (!rc->touched && (r = touch(rc, err)) < 0)
			break;
		k = hp_unload_one(&rc->w, ls->v[i], &req, false, &res, r < 0 ? NULL : err);
		r = r < 0 ? r : k;
		if (k >= 0 && !res.retained)
			rc->taken_out++; /* and the next one is in its place */
		else
			i++;
	}
	return r;
}

/* The job died while a patch's words could be written, or calls were counted, which it does not tell. */
static int rest_left(struct recovery *rc, struct hp_err *err)
{
	int r = rc->touched ? hp_target_refresh(rc->w.t, err) : 0;

	for (size_t i = 0; i < rc->w.ledgers.n && r >= 0; i++) {
		struct hp_ledger *l = rc->w.ledgers.v[i];
		struct hp_live *lv = NULL;

		if (hp_ledger_phase(l) != HP_PHASE_ACTIVE || !hp_chain_is_left(l, rc->w.t))
			continue;
		if ((r = touch(rc, err)) >= 0 && (r = hp_work_live(&rc->w, l, 0, &lv, err)) >= 0)
			r = hp_chain_rest(lv, err);
		rc->rested += r >= 0;
		hp_live_free(lv);
	}
	return r;
}

static void tell(const struct recovery *rc, bool reaped, char *did, size_t n)
{
	if (rc->taken_out)
		snprintf(did, n, "took out %zu patch%s left half-way", rc->taken_out,
			 rc->taken_out == 1 ? "" : "es");
	else if (rc->rested)
		snprintf(did, n, "brought %zu patch%s to rest", rc->rested,
			 rc->rested == 1 ? "" : "es");
	else
		snprintf(did, n, reaped ? "reaped an agent" : "nothing");
}

int hp_op_recover(struct hp_ops *ops, pid_t pid, char *did, size_t n, struct hp_err *err)
{
	struct recovery rc = {0};
	struct hp_err more;
	bool reaped = false;
	int closed, r;

	if ((r = hp_work_open(&rc.w, ops, pid, NULL, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err)) < 0)
		return r;
	r = hp_ledgers_refuse_unknown(&rc.w.ledgers, rc.w.t, err);
	if (r >= 0)
		r = hp_agent_clean(rc.w.t, rc.w.looker, err);
	reaped = r > 0;
	if (r >= 0 && (r = hp_fault(HP_FAULT_CLEANED, err)) >= 0)
		r = hp_target_refresh(rc.w.t, err);
	if (r >= 0 && (r = end_half_way(&rc, err)) >= 0)
		r = rest_left(&rc, err);
	/* Nothing is half-way any more: what is still pinned holds nothing. */
	if (r >= 0)
		hp_held_release(pid);
	tell(&rc, reaped, did, n);
	closed = hp_work_close(&rc.w, &more);
	/* In a target that ended nothing is left to be put right. */
	if (r >= 0 && closed < 0 && closed != -HP_E_GONE)
		r = hp_err_set(err, -HP_E_PARTIAL, "%s", more.text);
	return r;
}
