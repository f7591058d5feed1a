/* SPDX-License-Identifier: MIT */
/*
 * The guard's look at all targets: by time and turn, since each of them can take as much of it as it likes.
 * Who takes long is looked at as rarely as that costs, and who was passed over is first the next time.
 */
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "daemon/daemon.h"
#include "daemon/guard.h"
#include "daemon/job.h"

struct round {
	uint64_t since_ns;
	bool all;
	void (*done)(void *arg);
	void *arg;
};

static void looked(struct hp_job *job, const struct hp_job_said *said)
{
	const size_t n_targets = said->head->n[HP_FACT_TARGET], n_sites = said->head->n[HP_FACT_SITE];
	struct round *r = job->client;
	struct hp_daemon *d = job->d;
	uint64_t cost_ns = 0;
	size_t at = 0;

	for (size_t i = 0; i < n_targets; i++) {
		const struct hp_fact_target *t = &said->target[i];
		struct hp_subject *s = hp_subject_find(d, t->pid);
		size_t from = at;

		while (at < n_sites && said->site[at].pid == t->pid)
			at++;
		cost_ns += t->ns < HP_GUARD_CHEAP_NS ? t->ns : HP_GUARD_CHEAP_NS;
		if (s)
			hp_guard_note(s, t, said->site + from, at - from);
	}
	if (r->all && !said->head->code) {
		d->guard_round_ns = hp_now_ns() - r->since_ns;
		d->guard_cost_ns = cost_ns;
	}
	r->done(r->arg);
	free(r);
}

struct turn {
	uint64_t told_ns;
	pid_t pid;
};

static int by_turn(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	return x->told_ns < y->told_ns ? -1 : x->told_ns > y->told_ns;
}

/* Of @pid it is asked for alone; with 0 of all, and then some are not due. */
static bool is_due(const struct hp_subject *s, pid_t pid, uint64_t now)
{
	return s->patches && !s->gone && !s->running &&
	       (pid ? pid == s->pid : now >= s->guard.due_ns);
}

/* The targets at rest that have patches. */
static size_t collect(const struct hp_daemon *d, pid_t pid, pid_t **ret)
{
	uint64_t now = hp_now_ns();
	const struct hp_subject *s;
	size_t n = 0, room = 1;
	struct turn *turn;
	pid_t *v;

	TAILQ_FOREACH(s, &d->subjects, link)
		room++;
	v = calloc(room, sizeof(*v));
	turn = calloc(room, sizeof(*turn));
	TAILQ_FOREACH(s, &d->subjects, link)
		if (v && turn && is_due(s, pid, now))
			turn[n++] = (struct turn){s->guard.told_ns, s->pid};
	if (n)
		qsort(turn, n, sizeof(*turn), by_turn);
	for (size_t i = 0; i < n; i++)
		v[i] = turn[i].pid;
	free(turn);
	*ret = v;
	return n;
}

void hp_guard_round(struct hp_daemon *d, pid_t pid, void (*done)(void *arg), void *arg)
{
	struct hp_job_request req = {.kind = HP_JOB_GUARD};
	struct round *r = calloc(1, sizeof(*r));
	struct hp_job *job = NULL;

	req.sel.n_pids = collect(d, pid, &req.pids);
	req.sel.pids = req.pids;
	if (r && req.sel.n_pids)
		job = hp_job_new(d, &req, NULL);
	else
		hp_job_request_free(&req);
	if (!job) {
		free(r);
		done(arg);
		return;
	}
	*r = (struct round){hp_now_ns(), !pid, done, arg};
	job->client = r;
	job->on_answer = looked;
	hp_job_submit(job, false);
}

static void round_done(void *arg)
{
	((struct hp_daemon *)arg)->guard_looks = false;
}

static bool any_patched(const struct hp_daemon *d)
{
	const struct hp_subject *s;

	TAILQ_FOREACH(s, &d->subjects, link)
		if (s->patches && !s->gone)
			return true;
	return false;
}

static void fire(struct hp_timer *t)
{
	struct hp_daemon *d = (struct hp_daemon *)((char *)t - offsetof(struct hp_daemon, guard));
	uint64_t span = HP_GUARD_COST_MAX * d->guard_cost_ns;

	/* A load begins it again. */
	if (!any_patched(d) || d->stopping)
		return;
	hp_timer_set(d->ring, t, hp_now_ns() + (span > d->opt.guard_ns ? span : d->opt.guard_ns));
	if (d->guard_looks)
		return;
	d->guard_looks = true;
	hp_guard_round(d, 0, round_done, d);
}

void hp_guard_begin(struct hp_daemon *d)
{
	if (!d->opt.guard_ns || d->guard.at_ns || d->stopping)
		return;
	d->guard.fire = fire;
	hp_timer_set(d->ring, &d->guard, hp_now_ns() + d->opt.guard_ns);
}
