/* SPDX-License-Identifier: MIT */
/*
 * The order that matters (DESIGN 2.4): first slots to the watch path; probes on; every thread looked
 * at once, for the calls begun before (the baseline); second slots to the gate; entries no longer
 * counted, since what comes now parks.  A call that the draining table lets through is not counted
 * either: it is covered by a look at its thread after the entry was closed.
 */
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/fault.h"
#include "gate/gate.h"
#include "hp/err.h"
#include "patch/attempt.h"
#include "patch/counting.h"
#include "patch/drain.h"
#include "patch/ways.h"

#define WINDOW_NS  (2 * HP_MS)
#define RECOUNT_NS (2 * HP_MS)

struct watched {
	struct hp_census *c;
	struct hp_live *lv;
	enum hp_side from;
	struct hp_session *s;
};

static unsigned depth(const struct watched *w, pid_t tid, hp_addr *outermost)
{
	struct hp_thread_calls calls;

	*outermost = 0;
	if (hp_session_thread_get(w->s, tid, &calls) < 0)
		return 0;
	for (unsigned i = 0; i < calls.depth; i++)
		if (calls.call[i].sp > *outermost)
			*outermost = calls.call[i].sp;
	return calls.depth;
}

static void let_nested_pass(struct watched *w, struct hp_census_thread *ct, hp_addr outermost)
{
	int e = ct->drain < 0 ? hp_drain_open(w->c, ct->tid, outermost) : ct->drain;

	ct->drain = e < 0 ? -1 : e;
}

/* 1: the parked thread has to go on in the old code, for it holds a frame of it that is counted, or
 * one that the draining table let through uncounted before its entry was closed. */
static int holds_frame(struct watched *w, struct hp_census_thread *ct, pid_t tid, hp_addr *outermost,
		       struct hp_err *err)
{
	struct hp_seen seen;
	int r;

	if (depth(w, tid, outermost))
		return 1;
	if (!ct || ct->outside)
		return 0;
	if ((r = hp_census_look(w->c, ct, &seen, err)) < 0)
		return r;
	if (r != HP_SEEN_INSIDE)
		return 0;
	*outermost = seen.call[seen.n_calls - 1].sp;
	return 1;
}

static int judge_parked(struct watched *w, struct hp_attempt *at, struct hp_err *err)
{
	size_t later = 0;

	for (size_t i = 0; i < at->parked.n; i++) {
		pid_t tid = at->parked.v[i];
		struct hp_census_thread *ct = hp_census_find(w->c, tid);
		hp_addr outermost;
		int r = ct ? hp_counting_recount(w->s, w->c, ct, err) : 0;

		if (r >= 0)
			r = holds_frame(w, ct, tid, &outermost, err);
		if (r < 0)
			return r;
		if (!r)
			continue;
		/* One that was born since the census is counted by its own call alone. */
		if (ct) {
			let_nested_pass(w, ct, outermost);
			ct->outside = false; /* to be proven again once the entry is closed */
		}
		r = hp_attempt_pass(at, tid, err);
		if (r == -EBUSY)
			at->parked.v[later++] = tid;
		else if (r < 0)
			return r;
	}
	at->parked.n = later;
	return 0;
}

/* Threads that were let through: counted calls gone, entry closed, then seen outside. */
static int drained(struct watched *w, bool *all, struct hp_err *err)
{
	*all = true;
	for (size_t i = 0; i < w->c->n; i++) {
		struct hp_census_thread *ct = &w->c->v[i];
		struct hp_seen seen;
		hp_addr outermost;
		int r;

		if (ct->outside)
			continue;
		if (ct->drain >= 0) {
			*all = false;
			if (depth(w, ct->tid, &outermost))
				continue;
			if ((r = hp_drain_close(w->lv, ct->drain, err)) < 0)
				return r;
			ct->drain = -1;
		}
		if ((r = hp_census_look(w->c, ct, &seen, err)) < 0)
			return r;
		if (r == HP_SEEN_OUTSIDE || r == HP_SEEN_GONE)
			ct->outside = true;
		else
			*all = false;
	}
	return 0;
}

static int wait_edge(struct watched *w, uint64_t ns)
{
	struct pollfd p[2] = {{.fd = hp_gate_fd(w->lv->gate), .events = POLLIN},
			      {.fd = hp_session_fd(w->s), .events = POLLIN}};
	struct timespec t = {(time_t)(ns / HP_S), (long)(ns % HP_S)};

	(void)ppoll(p, 2, &t, NULL); /* whatever woke us, the counters are read next */
	return hp_session_edges(w->s);
}

static int drain_under_gate(struct watched *w, struct hp_attempt *at, struct hp_err *err)
{
	uint64_t recounted = hp_now_ns();
	bool all;
	int r;

	for (;;) {
		if ((r = hp_attempt_events(at, err)) < 0 || (r = judge_parked(w, at, err)) < 0)
			return r;
		if (at->over)
			return -ETIME;
		if (!hp_session_alive(w->s))
			return -ECONNRESET;
		if ((r = drained(w, &all, err)) < 0)
			return r;
		if (all && hp_session_total(w->s) == 0)
			return 0;
		(void)wait_edge(w, HP_MS);
		/* A call that ended by longjmp or an exception is still on the list. */
		if (hp_now_ns() - recounted > RECOUNT_NS) {
			recounted = hp_now_ns();
			if ((r = hp_counting_recount_all(w->s, w->c, err)) < 0)
				return r;
		}
	}
}

/* Would the calls in flight be over before the gate has to open again?  Their mean duration is the
 * number of them by the rate at which they end (Little's law). */
static bool ends_soon(const struct watched *w, uint64_t ended, uint64_t elapsed_ns)
{
	uint64_t in_flight = (uint64_t)hp_session_total(w->s);

	return ended && in_flight * elapsed_ns / ended < hp_attempt_slice(w->lv) / 2;
}

/* eBPF picks the moment: nothing in flight, or only calls that are over soon.  -ETIME: it did not
 * come. */
static int wait_for_moment(struct watched *w, struct hp_err *err)
{
	uint64_t since = hp_now_ns(), recounted = since;
	uint64_t exits = hp_view_state(w->lv->ops->view)->exits;
	int r;

	while (hp_session_total(w->s) > 0) {
		uint64_t now = hp_now_ns();

		if (now >= w->lv->deadline_ns)
			return -ETIME;
		if (now - since > WINDOW_NS) {
			uint64_t after = hp_view_state(w->lv->ops->view)->exits;

			if (ends_soon(w, after - exits, now - since))
				return 0;
			since = now;
			exits = after;
		}
		if (!hp_session_alive(w->s))
			return -ECONNRESET;
		(void)wait_edge(w, HP_MS);
		if (now - recounted > RECOUNT_NS) {
			recounted = now;
			if ((r = hp_counting_recount_all(w->s, w->c, err)) < 0)
				return r;
		}
	}
	return 0;
}

static int attempt(struct watched *w, struct hp_attempt *at, struct hp_err *err)
{
	struct hp_live *lv = w->lv;
	bool zero;
	int r;

	if ((r = wait_for_moment(w, err)) < 0)
		return r;
	if ((r = hp_census_take(w->c, err)) < 0 || (r = hp_way_announce(lv, w->from, err)) < 0 ||
	    (r = hp_attempt_close(at, hp_attempt_slice(lv), err)) < 0 ||
	    (r = hp_live_show_second(lv, at->gate, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_GATE_SECOND, err)) < 0)
		return r;
	hp_session_gate(w->s, true);
	if ((r = hp_live_show_first(lv, at->gate, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_GATE_SHOWN, err)) < 0)
		return r;
	zero = hp_session_total(w->s) == 0;
	/* A probe that was lost before this line could have missed calls. */
	if (!hp_session_alive(w->s) || hp_session_overflowed(w->s))
		return -ECONNRESET;
	for (size_t i = 0; i < w->c->n; i++) {
		struct hp_census_thread *ct = &w->c->v[i];
		hp_addr outermost;

		ct->outside = !ct->sharer && (zero || !depth(w, ct->tid, &outermost));
		if (!ct->outside && !ct->sharer)
			let_nested_pass(w, ct, outermost);
	}
	if ((r = drain_under_gate(w, at, err)) < 0)
		return r;
	return hp_attempt_commit(at, err);
}

static int start(struct watched *w, struct hp_err *err)
{
	uint64_t since = hp_now_ns();
	int r = hp_counting_start(&w->s, w->lv, w->from, true, err);

	if (r < 0 || (r = hp_fault(HP_FAULT_WATCH_PROBED, err)) < 0 ||
	    (r = hp_live_show_second(w->lv, hp_side_path(w->from), err)) < 0 ||
	    (r = hp_live_show_first(w->lv, HP_PATH_WATCH, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_WATCH_SHOWN, err)) < 0)
		return r;
	hp_live_report(w->lv, "watch", since, "probes on");
	since = hp_now_ns();
	if ((r = hp_census_take(w->c, err)) < 0 ||
	    (r = hp_counting_baseline(w->s, w->c, err)) < 0)
		return r;
	hp_live_report(w->lv, "baseline", since, NULL);
	return hp_fault(HP_FAULT_WATCH_BASELINE, err);
}

/* Back to counting after an attempt that failed.  Parked calls were let into @from uncounted, so
 * the baseline is taken again. */
static int resume(struct watched *w, struct hp_err *err)
{
	int r;

	if ((r = hp_drain_close_all(w->lv, err)) < 0 ||
	    (r = hp_live_show_second(w->lv, hp_side_path(w->from), err)) < 0 ||
	    (r = hp_live_show_first(w->lv, HP_PATH_WATCH, err)) < 0)
		return r;
	hp_session_gate(w->s, false);
	if ((r = hp_census_take(w->c, err)) < 0)
		return r;
	return hp_counting_baseline(w->s, w->c, err);
}

static int restart(struct watched *w, struct hp_err *err)
{
	int r = hp_way_settle(w->lv, w->from, err);

	hp_counting_stop(&w->s);
	return r < 0 ? r : start(w, err);
}

static int attempts(struct watched *w, struct hp_err *err)
{
	struct hp_err ignored;
	int r = start(w, err);

	for (unsigned try = 0; r >= 0 && try < HP_ATTEMPTS_MAX; try++) {
		struct hp_attempt at;
		uint64_t since = hp_now_ns();

		if (try && (!w->lv->park_left_ns || hp_now_ns() >= w->lv->deadline_ns))
			return -ETIME;
		w->lv->tries++;
		r = hp_attempt_arm(&at, w->lv, w->from, err);
		if (r >= 0)
			r = attempt(w, &at, err);
		if (r == 0) {
			hp_attempt_free(&at);
			hp_live_report(w->lv, "gate", since, "committed");
			return 0;
		}
		(void)hp_attempt_give_up(&at, &ignored); /* the first failure is the one to tell */
		hp_attempt_free(&at);
		if (r != -ETIME && r != -ECONNRESET)
			return r;
		hp_live_report(w->lv, "retry", since, "still in use");
		hp_attempt_backoff(try);
		r = r == -ECONNRESET ? restart(w, err) : resume(w, err);
	}
	return r < 0 ? r : -ETIME;
}

int hp_way_watch(struct hp_census *c, enum hp_side from, struct hp_err *err)
{
	struct watched w = {.c = c, .lv = c->lv, .from = from};
	enum hp_side to = from == HP_OLD ? HP_NEW : HP_OLD;
	struct hp_err why = {0};
	int r = attempts(&w, &why), settled;

	c->lv->used = HP_QUIESCE_WATCH;
	settled = hp_way_settle(c->lv, r == 0 ? to : from, err);
	if (r == -ETIME) {
		unsigned inside;

		/* The count knows how many; one more look says who. */
		if (hp_census_take(c, &why) == 0)
			(void)hp_census_survey(c, &inside, NULL);
		r = hp_census_blame(c, &why);
	}
	hp_counting_stop(&w.s);
	if (settled < 0)
		return settled;
	return r < 0 ? hp_err_set(err, r, "%s", why.text) : 0;
}
