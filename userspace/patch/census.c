/* SPDX-License-Identifier: MIT */
#include "patch/census.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "target/agent.h"

void hp_census_free(struct hp_census *c)
{
	HP_ARRAY_FREE(c);
}

struct hp_census_thread *hp_census_find(struct hp_census *c, pid_t tid)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].tid == tid)
			return &c->v[i];
	return NULL;
}

int hp_census_take(struct hp_census *c, struct hp_err *err)
{
	struct hp_census next = {.lv = c->lv};
	struct hp_pids tids = {0};
	pid_t agent = c->lv->agent ? hp_agent_tid(c->lv->agent) : 0;
	size_t n_own;
	int r = hp_look_threads(c->lv->looker, agent, &tids, &n_own, err);

	for (size_t i = 0; i < tids.n && r >= 0; i++) {
		struct hp_census_thread *ct, *was;

		/* Both lists come from the kernel in the same order: the same place is tried first. */
		was = next.n < c->n && c->v[next.n].tid == tids.v[i] ? &c->v[next.n]
								     : hp_census_find(c, tids.v[i]);
		ct = HP_ARRAY_ADD(&next);
		if (!ct) {
			r = hp_err_set(err, -ENOMEM, "no memory for %zu threads", tids.n);
			break;
		}
		*ct = was ? *was : (struct hp_census_thread){.tid = tids.v[i]};
		ct->sharer = i >= n_own;
		ct->outside = false;
		ct->drain = -1;
		ct->inside_n = 0;
	}
	hp_pids_free(&tids);
	if (r < 0) {
		hp_census_free(&next);
		return r;
	}
	HP_ARRAY_FREE(c);
	c->v = next.v;
	c->n = next.n;
	c->room = next.room;
	return 0;
}

int hp_census_blame(const struct hp_census *c, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &c->lv->l->fixed;
	const struct hp_seen *seen = &c->last;
	unsigned fn = seen->n_calls ? seen->call[seen->n_calls - 1].fn : 0;
	char name[32], where[512];

	size_t unseen = 0;

	for (size_t i = 0; i < c->n; i++)
		unseen += !c->v[i].outside;
	if (!c->last_tid)
		return hp_err_set(err, -HP_E_NOT_QUIESCENT,
				  "%zu of %zu threads were not seen outside in time, so busy is the "
				  "machine: a longer --park may help",
				  unseen, c->n);
	hp_thread_name(c->last_tid, name, sizeof(name));
	hp_look_where(c->lv->looker, seen, where, sizeof(where));
	if (seen->verdict != HP_SEEN_INSIDE || fn >= f->n_fns)
		return hp_err_set(err, -HP_E_NOT_QUIESCENT,
				  "thread %d (%s) has a stack that cannot be read to its root: %s",
				  c->last_tid, name, where);
	return hp_err_set(err, -HP_E_NOT_QUIESCENT, "thread %d (%s) is still in %s: %s",
			  c->last_tid, name,
			  c->lv->side == HP_OLD ? f->fn[fn].old_name : f->fn[fn].new_name, where);
}

bool hp_census_unmoved(struct hp_census *c, const struct hp_census_thread *ct)
{
	return ct->known && hp_look_unmoved(c->lv->looker, ct->tid, ct->switches);
}

int hp_census_look(struct hp_census *c, struct hp_census_thread *ct, struct hp_seen *seen,
		   struct hp_err *err)
{
	int r;

	r = hp_look(c->lv->looker, ct->tid, &c->lv->scene, seen, NULL, NULL, err);
	if (r < 0)
		return r;
	/* After an exec what was seen is not of the target's memory. */
	if (ct->sharer && seen->verdict != HP_SEEN_OUTSIDE &&
	    !hp_look_shares(c->lv->looker, ct->tid))
		seen->verdict = HP_SEEN_GONE;
	ct->known = seen->verdict == HP_SEEN_OUTSIDE && !seen->stopped;
	ct->switches = seen->switches;
	ct->sp = seen->verdict == HP_SEEN_GONE ? 0 : seen->regs.rsp;
	if (seen->verdict == HP_SEEN_INSIDE)
		ct->inside_n++;
	else if (seen->verdict != HP_SEEN_AGAIN)
		ct->inside_n = 0;
	if (seen->verdict == HP_SEEN_INSIDE || seen->verdict == HP_SEEN_UNKNOWN) {
		c->last_tid = ct->tid;
		c->last = *seen;
	}
	return seen->verdict;
}

int hp_census_survey(struct hp_census *c, unsigned *inside, struct hp_err *err)
{
	struct hp_seen seen;

	*inside = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct hp_census_thread *ct = &c->v[i];
		int r;

		if (hp_census_unmoved(c, ct))
			continue;
		if ((r = hp_census_look(c, ct, &seen, err)) < 0)
			return r;
		if (r != HP_SEEN_OUTSIDE && r != HP_SEEN_GONE)
			++*inside;
	}
	return 0;
}

bool hp_census_all_outside(const struct hp_census *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (!c->v[i].outside)
			return false;
	return true;
}
