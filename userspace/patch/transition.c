/* SPDX-License-Identifier: MIT */
#include "patch/transition.h"

#include "base/clock.h"
#include "base/fault.h"
#include "hp/err.h"
#include "patch/attempt.h"
#include "patch/chain.h"
#include "patch/counting.h"
#include "patch/drain.h"
#include "patch/ways.h"

#define GATE_FIRST_ATTEMPTS 3

int hp_way_settle(struct hp_live *lv, enum hp_side side, struct hp_err *err)
{
	enum hp_path path = hp_side_path(side);
	int r;

	if ((r = hp_live_show_second(lv, path, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_SETTLE_SECOND, err)) < 0 ||
	    (r = hp_live_show_first(lv, path, err)) < 0)
		return r;
	return hp_drain_close_all(lv, err);
}

int hp_way_announce(struct hp_live *lv, enum hp_side from, struct hp_err *err)
{
	return hp_ledger_set_phase(lv->l, lv->t,
				   from == HP_OLD ? HP_PHASE_LOADING : HP_PHASE_UNLOADING, err);
}

static int long_calls(struct hp_census *c, bool *found, struct hp_err *err)
{
	unsigned inside;
	int r;

	*found = false;
	if ((r = hp_census_take(c, err)) < 0 || (r = hp_census_survey(c, &inside, err)) < 0)
		return r;
	if (!inside)
		return 0;
	hp_pause_ns(HP_LONG_CALL_NS);
	for (size_t i = 0; i < c->n && !*found; i++)
		*found = c->v[i].inside_n &&
			 hp_look_unmoved(c->lv->looker, c->v[i].tid, c->v[i].switches);
	return 0;
}

/* Gate first, with half of the time for which threads may park; then watch. */
static int either_way(struct hp_census *c, enum hp_side from, struct hp_err *err)
{
	struct hp_live *lv = c->lv;
	uint64_t kept = lv->park_left_ns / 2;
	bool found;
	int r = long_calls(c, &found, err);

	if (r < 0)
		return r;
	if (found)
		return hp_way_watch(c, from, err);
	lv->park_left_ns -= kept;
	r = hp_way_gate(c, from, GATE_FIRST_ATTEMPTS, err);
	lv->park_left_ns += kept;
	if (r != -HP_E_NOT_QUIESCENT || hp_now_ns() >= lv->deadline_ns)
		return r;
	return hp_way_watch(c, from, err);
}

static int by_any_way(struct hp_census *c, enum hp_side from, enum hp_quiesce how,
		      struct hp_err *err)
{
	bool possible = c->lv->ops->view && hp_counting_possible(c->lv, from);

	if (how == HP_QUIESCE_GATE || !possible)
		return hp_way_gate(c, from, HP_ATTEMPTS_MAX, err);
	return how == HP_QUIESCE_WATCH ? hp_way_watch(c, from, err) : either_way(c, from, err);
}

int hp_transition(struct hp_live *lv, enum hp_side from, enum hp_quiesce how, struct hp_err *err)
{
	struct hp_census c = {.lv = lv};
	uint64_t since = hp_now_ns();
	int r = hp_live_set_scene(lv, from, hp_gate_of(from), err);

	if (r >= 0 && from == HP_NEW)
		r = hp_chain_bypass(lv, false, err);
	/* A hpd that was killed may have left the gate shown and the draining table open: who is let
	 * through there was never proven. */
	if (r >= 0)
		r = hp_way_settle(lv, from, err);
	if (r >= 0)
		r = hp_drain_renew(&c, err);
	if (r >= 0)
		r = by_any_way(&c, from, how, err);
	hp_census_free(&c);
	lv->transition_ns += hp_now_ns() - since;
	return r;
}

int hp_transition_relaxed(struct hp_live *lv, enum hp_side from, unsigned *inside,
			  struct hp_err *err)
{
	int r = hp_way_settle(lv, from == HP_OLD ? HP_NEW : HP_OLD, err);

	return r < 0 ? r : hp_transition_count(lv, from, inside, NULL, err);
}

int hp_transition_count(struct hp_live *lv, enum hp_side side, unsigned *inside,
			struct hp_err *who, struct hp_err *err)
{
	struct hp_census c = {.lv = lv};
	int r = hp_live_set_scene(lv, side, HP_PATHS, err);

	if (r >= 0)
		r = hp_census_take(&c, err);
	if (r >= 0)
		r = hp_census_survey(&c, inside, err);
	if (r >= 0 && *inside && who)
		(void)hp_census_blame(&c, who); /* returns the code that it sets */
	hp_census_free(&c);
	return r;
}
