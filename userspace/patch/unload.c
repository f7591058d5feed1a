/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/calls.h"
#include "patch/remove.h"
#include "patch/transition.h"
#include "patch/work.h"

/* What is to be done for a patch in each phase is told once, here, for unload and recovery. */
static int take_out(struct hp_live *lv, enum hp_quiesce how, bool discard, bool hooks,
		    struct hp_unload_result *ret, struct hp_err *err)
{
	enum hp_phase phase = hp_ledger_phase(lv->l);
	struct hp_err hook = {0};
	enum hp_side runs = HP_OLD;
	int r = 0, byte;

	switch (phase) {
	case HP_PHASE_MAPPED:
	case HP_PHASE_ENTRY:
	case HP_PHASE_REMOVING:
	case HP_PHASE_RETAINED:
		break;
	case HP_PHASE_LOADING:
		byte = hp_live_gate_byte(lv, HP_PATH_GATE, err);
		r = byte < 0 ? byte : 0;
		runs = byte == 1 ? HP_NEW : HP_OLD;
		break;
	case HP_PHASE_UNLOADING:
		byte = hp_live_gate_byte(lv, HP_PATH_GATE_BACK, err);
		r = byte < 0 ? byte : 0;
		runs = byte == 1 ? HP_OLD : HP_NEW;
		break;
	case HP_PHASE_LOADED:
	case HP_PHASE_ACTIVE:
		runs = HP_NEW;
		break;
	}
	if (r < 0)
		return r;
	if (runs == HP_NEW) {
		if (hooks && (r = hp_calls_hook(lv, HP_HOOK_BEFORE_UNLOAD, err)) < 0)
			return r;
		if ((r = hp_transition(lv, HP_NEW, how, err)) < 0) {
			/* New code runs on, as before. */
			(void)hp_ledger_set_phase(lv->l, lv->t, phase, NULL);
			return r;
		}
		/* A failing AfterUnload is told, but the code is reverted and not listed. */
		if (hooks && hp_calls_hook(lv, HP_HOOK_AFTER_UNLOAD, &hook) < 0)
			snprintf(ret->detail, sizeof(ret->detail), "%.250s", hook.text);
	}
	if (phase != HP_PHASE_MAPPED && phase != HP_PHASE_RETAINED &&
	    (r = hp_calls_fini(lv, err)) < 0)
		return r;
	return hp_remove(lv, discard, &ret->retained, ret->detail, sizeof(ret->detail), err);
}

int hp_op_unload(struct hp_ops *ops, const struct hp_unload_request *req,
		 struct hp_unload_result *ret, struct hp_err *err)
{
	struct hp_unload_result res = {0};
	struct hp_live *lv = NULL;
	struct hp_ledger *l;
	struct hp_err more;
	struct hp_work w;
	int r = hp_work_open(&w, ops, req->pid, req->timeout_ns, err), closed;

	if (r < 0)
		return r;
	if ((r = hp_ledgers_pick(&w.ledgers, req->id, &l, err)) >= 0 &&
	    (r = hp_work_touch(&w, err)) >= 0 &&
	    (r = hp_work_live(&w, l, req->park_ns, &lv, err)) >= 0)
		r = take_out(lv, req->quiesce, req->discard, true, &res, err);
	if (r >= 0) {
		memcpy(res.id, l->fixed.id, sizeof(res.id));
		res.gate_ns = lv->gate_ns;
		res.patches_left = w.ledgers.n - !res.retained;
		res.total_ns = hp_now_ns() - w.started_ns;
	}
	hp_live_free(lv);
	closed = hp_work_close(&w, &more);
	if (r >= 0 && closed < 0)
		r = hp_err_set(err, -HP_E_PARTIAL, "unloaded, but: %.900s", more.text);
	if (r >= 0)
		*ret = res;
	return r;
}

static bool at_rest(const struct hp_ledger *l)
{
	enum hp_phase p = hp_ledger_phase(l);

	return p == HP_PHASE_ACTIVE;
}

int hp_op_recover(struct hp_ops *ops, pid_t pid, char *did, size_t n, struct hp_err *err)
{
	struct hp_work w;
	size_t done = 0;
	bool touched = false;
	int r = hp_work_open(&w, ops, pid, HP_DEFAULT_TIMEOUT_NS, err), closed;
	struct hp_err more;

	if (r < 0)
		return r;
	snprintf(did, n, "nothing");
	r = hp_agent_clean(w.t, w.looker, err);
	if (r >= 0)
		r = hp_target_refresh(w.t, err);
	for (size_t i = 0; i < w.ledgers.n && r >= 0; i++) {
		struct hp_unload_result res = {0};
		struct hp_ledger *l = w.ledgers.v[i];
		struct hp_live *lv;

		/* In a child that was forked meanwhile, old code runs for good: it keeps its copy. */
		if (at_rest(l) || !hp_ledger_is_own(l, w.t))
			continue;
		if (!touched && (r = hp_work_touch(&w, err)) < 0)
			break;
		touched = true;
		if ((r = hp_work_live(&w, l, HP_DEFAULT_PARK_NS, &lv, err)) < 0)
			break;
		r = take_out(lv, HP_QUIESCE_AUTO, false, false, &res, err);
		hp_live_free(lv);
		if (r >= 0 && !res.retained)
			done++;
	}
	if (done)
		snprintf(did, n, "took out %zu patch%s left half-way", done, done == 1 ? "" : "es");
	closed = hp_work_close(&w, &more);
	if (r >= 0 && closed < 0)
		r = hp_err_set(err, -HP_E_PARTIAL, "%s", more.text);
	return r;
}
