/* SPDX-License-Identifier: MIT */
#include "patch/transition.h"

#include <errno.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/attempt.h"
#include "patch/counting.h"
#include "patch/drain.h"
#include "patch/ways.h"

int hp_way_settle(struct hp_live *lv, enum hp_side side, struct hp_err *err)
{
	enum hp_path path = hp_side_path(side);
	int r;

	if ((r = hp_live_show_second(lv, path, err)) < 0 ||
	    (r = hp_live_show_first(lv, path, err)) < 0)
		return r;
	return hp_drain_close_all(lv, err);
}

int hp_way_announce(struct hp_live *lv, enum hp_side from, struct hp_err *err)
{
	return hp_ledger_set_phase(lv->l, lv->t,
				   from == HP_OLD ? HP_PHASE_LOADING : HP_PHASE_UNLOADING, err);
}

/* Who is in flight now decides: with nobody inside, the gate is closed for less than a probe takes
 * to attach.  Else a busy set is gated, a slow one watched. */
static int choose(struct hp_census *c, enum hp_side from, enum hp_quiesce *how, struct hp_err *err)
{
	bool possible = c->lv->ops->view && hp_counting_possible(c->lv, from);
	unsigned inside;
	double rate;
	int r;

	if (!possible)
		*how = HP_QUIESCE_GATE;
	if (*how != HP_QUIESCE_AUTO)
		return 0;
	if ((r = hp_census_take(c, err)) < 0 || (r = hp_census_survey(c, &inside, err)) < 0)
		return r;
	*how = HP_QUIESCE_GATE;
	if (!inside)
		return 0;
	if ((r = hp_way_rate(c->lv, from, &rate, err)) < 0)
		return r;
	if (rate < HP_WATCH_MAX_RATE)
		*how = HP_QUIESCE_WATCH;
	return 0;
}

int hp_transition(struct hp_live *lv, enum hp_side from, enum hp_quiesce how, struct hp_err *err)
{
	struct hp_census c = {.lv = lv};
	int r = hp_live_set_scene(lv, from, hp_gate_of(from), err);

	/* A hpd that was killed may have left the gate shown and the draining table open: who is let
	 * through there was never proven. */
	if (r >= 0)
		r = hp_way_settle(lv, from, err);
	if (r >= 0)
		r = choose(&c, from, &how, err);
	if (r >= 0)
		r = how == HP_QUIESCE_WATCH ? hp_way_watch(&c, from, err)
					    : hp_way_gate(&c, from, err);
	hp_census_free(&c);
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
