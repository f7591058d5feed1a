/* SPDX-License-Identifier: MIT */
/*
 * Proven = for each thread: its draining entry, if it had one, was closed, *then* it was seen
 * outside of @from's code while every slot showed the gate.  The other order leaves a thread that
 * was let through by an entry after the look.  Nothing seen before the slots moved counts, except
 * that a thread which has not run since cannot have entered.
 */
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/fault.h"
#include "gate/gate.h"
#include "hp/err.h"
#include "patch/attempt.h"
#include "patch/drain.h"
#include "patch/ways.h"

/* One more look, and what follows from it. */
static int judge(struct hp_attempt *at, struct hp_census *c, struct hp_census_thread *ct,
		 struct hp_err *err)
{
	struct hp_seen seen;
	int r = hp_census_look(c, ct, &seen, err);

	if (r < 0)
		return r;
	switch (seen.verdict) {
	case HP_SEEN_GONE:
		ct->outside = true;
		return 0;
	case HP_SEEN_OUTSIDE:
		if (ct->drain < 0) {
			ct->outside = true;
			return 0;
		}
		r = hp_drain_close(c->lv, ct->drain, err);
		ct->drain = -1;
		return r;
	case HP_SEEN_INSIDE:
		/* Most leave by themselves; one that is still there may be held up by nested
		 * calls. */
		if (ct->drain < 0 && ct->inside_n > 1 && seen.n_calls) {
			int e = hp_drain_open(c, ct->tid, seen.call[seen.n_calls - 1].sp);

			ct->drain = e < 0 ? -1 : e;
		}
		return 0;
	case HP_SEEN_AGAIN:
	case HP_SEEN_UNKNOWN:
		return 0;
	}
	return 0;
}

/* A parked thread with an old frame further up would wait for itself.  It may have parked before its
 * entry in the draining table was there; one of which nothing can be told yet is asked again. */
static int judge_parked(struct hp_attempt *at, struct hp_census *c, struct hp_err *err)
{
	size_t later = 0;

	for (size_t i = 0; i < at->parked.n; i++) {
		struct hp_census_thread *ct = hp_census_find(c, at->parked.v[i]);
		struct hp_seen seen;
		int r;

		if (!ct || ct->outside)
			continue;
		if ((r = hp_census_look(c, ct, &seen, err)) < 0)
			return r;
		if (r == HP_SEEN_INSIDE) {
			int e = ct->drain < 0 ? hp_drain_open(c, ct->tid,
							      seen.call[seen.n_calls - 1].sp)
					      : ct->drain;

			ct->drain = e < 0 ? -1 : e;
			r = hp_attempt_pass(at, ct->tid, err);
			if (r == -EBUSY)
				at->parked.v[later++] = ct->tid;
			else if (r < 0)
				return r;
		} else if (r == HP_SEEN_OUTSIDE && ct->drain < 0) {
			ct->outside = true;
		} else if (r == HP_SEEN_AGAIN || r == HP_SEEN_UNKNOWN) {
			at->parked.v[later++] = ct->tid;
		}
	}
	at->parked.n = later;
	return 0;
}

static int prove(struct hp_attempt *at, struct hp_census *c, struct hp_err *err)
{
	for (unsigned round = 0; !at->over; round++) {
		int r = hp_attempt_events(at, err);

		if (r < 0 || (r = judge_parked(at, c, err)) < 0)
			return r;
		for (size_t i = 0; i < c->n && !at->over; i++) {
			if (c->v[i].outside)
				continue;
			if ((r = judge(at, c, &c->v[i], err)) < 0 ||
			    (r = hp_attempt_events(at, err)) < 0)
				return r;
		}
		if (hp_census_all_outside(c))
			return 0;
		if (round > 3) {
			struct pollfd p = {.fd = hp_gate_fd(c->lv->gate), .events = POLLIN};
			struct timespec t = {0, 50 * HP_US};

			(void)ppoll(&p, 1, &t, NULL); /* it only shortens the pause */
		}
	}
	return 0;
}

static int attempt(struct hp_attempt *at, struct hp_census *c, struct hp_err *err)
{
	struct hp_live *lv = c->lv;
	unsigned inside;
	int r;

	/* Most of the looking is done while the gate is open. */
	if ((r = hp_census_take(c, err)) < 0 || (r = hp_census_survey(c, &inside, err)) < 0 ||
	    (r = hp_way_announce(lv, at->from, err)) < 0 ||
	    (r = hp_attempt_close(at, hp_attempt_slice(lv), err)) < 0 ||
	    (r = hp_live_show_second(lv, at->gate, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_GATE_SECOND, err)) < 0 ||
	    (r = hp_live_show_first(lv, at->gate, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_GATE_SHOWN, err)) < 0 || (r = hp_census_take(c, err)) < 0)
		return r;
	for (size_t i = 0; i < c->n; i++)
		c->v[i].outside = hp_census_unmoved(c, &c->v[i]);
	if ((r = prove(at, c, err)) < 0)
		return r;
	return at->over ? -ETIME : hp_attempt_commit(at, err);
}

int hp_way_gate(struct hp_census *c, enum hp_side from, unsigned attempts, struct hp_err *err)
{
	struct hp_live *lv = c->lv;
	enum hp_side to = from == HP_OLD ? HP_NEW : HP_OLD;
	struct hp_err ignored;
	int r = -ETIME;

	lv->used = HP_QUIESCE_GATE;
	for (unsigned try = 0; r == -ETIME && try < attempts; try++) {
		struct hp_attempt at;
		uint64_t since = hp_now_ns();

		if (try && (!lv->park_left_ns || hp_now_ns() >= lv->deadline_ns))
			break;
		lv->tries++;
		r = hp_attempt_arm(&at, lv, from, err);
		if (r >= 0)
			r = attempt(&at, c, err);
		if (r == 0) {
			hp_attempt_free(&at);
			hp_live_report(lv, "gate", since, "committed");
			return hp_way_settle(lv, to, err);
		}
		/* The first failure is the one to be told; what follows puts @from back. */
		(void)hp_attempt_give_up(&at, &ignored);
		hp_attempt_free(&at);
		if (hp_way_settle(lv, from, &ignored) < 0)
			return hp_err_set(err, ignored.code, "%s", ignored.text);
		if (r == -ETIME) {
			hp_live_report(lv, "retry", since, "still in use");
			hp_attempt_backoff(try);
		}
	}
	return r == -ETIME ? hp_census_blame(c, err) : r;
}
