/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/calls.h"
#include "patch/chain.h"
#include "patch/depend.h"
#include "patch/remove.h"
#include "patch/transition.h"
#include "patch/unload.h"
#include "patch/unstage.h"

/* What is to be done for a patch in each phase is told once, here, for unload and recovery. */
static int take_out(struct hp_live *lv, enum hp_quiesce how, bool discard, bool hooks,
		    struct hp_unload_result *ret, struct hp_err *err)
{
	enum hp_phase phase = hp_ledger_phase(lv->l);
	struct hp_err hook = {0};
	int r = hp_ledger_runs_new(lv->l, lv->t, err);

	if (r < 0)
		return r;
	if (r) {
		if (hooks && (r = hp_calls_hook(lv, HP_HOOK_BEFORE_UNLOAD, err)) < 0)
			return r;
		if ((r = hp_transition(lv, HP_NEW, how, err)) < 0) {
			/* New code runs on, as before; and as fast, where that can be done. */
			(void)hp_chain_bypass(lv, true, NULL);
			(void)hp_ledger_set_phase(lv->l, lv->t, phase, NULL);
			return r;
		}
		/* A failing AfterUnload is told, but the code is reverted and not listed. */
		if (hooks && hp_calls_hook(lv, HP_HOOK_AFTER_UNLOAD, &hook) < 0)
			snprintf(ret->detail, sizeof(ret->detail), "%.250s", hook.text);
	}
	/* In MAPPED nobody knows how far the initialisers came; after REMOVING it is done. */
	if (phase != HP_PHASE_REMOVING && phase != HP_PHASE_RETAINED)
		r = hp_calls_fini(lv, phase != HP_PHASE_MAPPED, err);
	if (r >= 0)
		r = hp_remove(lv, discard, &ret->retained, ret->detail, sizeof(ret->detail), err);
	if (r < 0 && r != -HP_E_GONE)
		r = hp_err_prefix(err, -HP_E_PARTIAL,
				  "old code runs, but the patch is still mapped (unload it again)");
	return r;
}

/* Mapped in part, by a hpd that was killed: nothing leads there yet, or any more. */
static bool in_pieces(const struct hp_work *w, const struct hp_ledger *l)
{
	enum hp_phase p = hp_ledger_phase(l);

	if (p != HP_PHASE_MAPPED && p != HP_PHASE_REMOVING && p != HP_PHASE_RETAINED)
		return false;
	for (unsigned i = 0; i < l->fixed.n_fns; i++)
		if (!hp_target_module_at(w->t, l->fixed.fn[i].new_addr))
			return true;
	return false;
}

int hp_unload_one(struct hp_work *w, struct hp_ledger *l, const struct hp_unload_request *req,
		  bool hooks, struct hp_unload_result *ret, struct hp_err *err)
{
	struct hp_unload_result res = {0};
	struct hp_live *lv;
	int r;

	memcpy(res.id, l->fixed.id, sizeof(res.id));
	if (in_pieces(w, l)) {
		r = hp_unstage(l, &w->ledgers, w->t, w->agent, err);
	} else {
		if ((r = hp_work_live(w, l, req->park_ns, &lv, err)) < 0)
			return r;
		r = take_out(lv, req->quiesce, req->discard, hooks, &res, err);
		res.quiesce_ns = lv->transition_ns;
		res.gate_ns = lv->gate_ns;
		res.longest_park_ns = lv->longest_park_ns;
		res.threads_parked = lv->threads_parked;
		hp_live_free(lv);
	}
	if (r < 0)
		return r;
	if (!res.retained)
		hp_ledgers_drop(&w->ledgers, l);
	res.patches_left = w->ledgers.n;
	res.functions_left = hp_ledgers_functions(&w->ledgers);
	*ret = res;
	return 0;
}

static int pick(const struct hp_work *w, const struct hp_unload_request *req,
		struct hp_ledger **ret, struct hp_err *err)
{
	int r = hp_ledgers_pick(&w->ledgers, req->id, ret, err);

	if (r >= 0 && req->active_only && hp_ledger_phase(*ret) == HP_PHASE_RETAINED)
		return hp_err_set(err, -HP_E_NOT_LOADED, "patch %s not loaded", req->id);
	return r;
}

/* Its file is one that will be asked. */
static int expect(struct hp_work *w, const struct hp_ledger *l, struct hp_err *err)
{
	(void)hp_target_module_at(w->t, l->fixed.patch_lo); /* in pieces there is none */
	return hp_work_expect(w, err);
}

int hp_op_unload(struct hp_ops *ops, const struct hp_unload_request *req,
		 struct hp_unload_result *ret, struct hp_err *err)
{
	struct hp_unload_result res = {0};
	struct hp_ledger *l;
	struct hp_err more;
	struct hp_work w;
	int closed, r = hp_work_open(&w, ops, req->pid, NULL, HP_WORK_TOUCHES, req->timeout_ns,
				     err);

	if (r < 0)
		return r;
	if ((r = hp_ledgers_refuse_unknown(&w.ledgers, w.t, err)) >= 0 &&
	    (r = pick(&w, req, &l, err)) >= 0 &&
	    (r = hp_depend_check_unload(l, &w.ledgers, err)) >= 0 &&
	    (r = expect(&w, l, err)) >= 0 && (r = hp_work_touch(&w, err)) >= 0)
		r = hp_unload_one(&w, l, req, true, &res, err);
	if (r < 0 && hp_target_check(w.t, &more) < 0)
		r = hp_err_set(err, -HP_E_GONE, "%s", more.text);
	if (r >= 0)
		res.total_ns = hp_now_ns() - w.started_ns;
	closed = hp_work_close(&w, &more);
	if (r >= 0 && closed == -HP_E_GONE)
		r = hp_err_set(err, closed, "unloaded, but %.900s", more.text);
	else if (r >= 0 && closed < 0)
		r = hp_err_set(err, -HP_E_PARTIAL, "unloaded, but: %.900s", more.text);
	if (r >= 0)
		*ret = res;
	return r;
}
