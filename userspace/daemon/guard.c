/* SPDX-License-Identifier: MIT */
#include "daemon/guard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/job.h"
#include "daemon/json_out.h"

#define COST_MAX     50 /* a round may take a 50th of the time */
#define IN_VAIN_MAX  3	/* then less and less often: */
#define AGAIN_NS     (30 * HP_S)
#define AGAIN_MAX_NS (600 * HP_S)
#define DROPPED_MAX  64

/* The patches that an exec took. */
struct hp_dropped {
	TAILQ_ENTRY(hp_dropped) link;
	pid_t pid;
	int pidfd;
	size_t patches;
	uint64_t wall_ns;
};

void hp_guarded_free(struct hp_guarded *g)
{
	free(g->wrong);
	g->wrong = NULL;
	g->n_wrong = 0;
}

/* --- what is told ------------------------------------------------------------------------------- */

static void tell(struct hp_subject *s, const char *did)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_RECOVERED, .pid = s->pid};

	hp_log_about(HP_LOG_WARNING, &about, "process %d: %zu patched entries were not right: %s",
		     s->pid, s->guard.n_wrong, did);
	hp_events_send(s->d, s->pid, false,
		       hp_event_new("guard", s->pid,
				    json_pack("{s:s,s:o,s:b}", "detail", did, "functions",
					      hp_json_guard(s->guard.wrong, s->guard.n_wrong),
					      "set_atomic", false)));
}

json_t *hp_guard_status(const struct hp_subject *s)
{
	const struct hp_guarded *g = &s->guard;

	return json_pack("{s:o?,s:i,s:i,s:i,s:b}", "wrong",
			 g->n_wrong ? hp_json_guard(g->wrong, g->n_wrong) : NULL, "lost",
			 (int)g->lost, "seen", (int)g->seen, "mended", (int)g->mended, "set_atomic",
			 !g->n_wrong && !g->lost);
}

/* --- one target ---------------------------------------------------------------------------------- */

/* Those of one target, in an answer. */
struct sites {
	const struct hp_fact_site *v;
	size_t n;
};

static bool any_found(struct sites wrong, enum hp_guard_found what)
{
	for (size_t i = 0; i < wrong.n; i++)
		if (wrong.v[i].found == what)
			return true;
	return false;
}

static bool all_mended(struct sites wrong)
{
	for (size_t i = 0; i < wrong.n; i++)
		if (!wrong.v[i].mended)
			return false;
	return true;
}

/* Without memory what was known stays. */
static void set_wrong(struct hp_subject *s, struct sites wrong)
{
	struct hp_fact_site *copy = wrong.n ? malloc(wrong.n * sizeof(*copy)) : NULL;

	if (wrong.n && !copy)
		return;
	if (wrong.n)
		memcpy(copy, wrong.v, wrong.n * sizeof(*copy));
	hp_guarded_free(&s->guard);
	s->guard.wrong = copy;
	s->guard.n_wrong = wrong.n;
}

static bool is_known(const struct hp_guarded *g, struct sites wrong)
{
	return g->n_wrong == wrong.n && !memcmp(g->wrong, wrong.v, wrong.n * sizeof(*wrong.v));
}

/* When what was in vain so many times is tried again. */
static uint64_t again(unsigned times)
{
	uint64_t wait = AGAIN_NS;

	if (times < IN_VAIN_MAX)
		return 0;
	for (unsigned i = IN_VAIN_MAX; i < times && wait < AGAIN_MAX_NS; i++)
		wait *= 2;
	return hp_now_ns() + wait;
}

/* From *@at on: those of @pid. */
static struct sites sites_of(const struct hp_job_said *said, pid_t pid, size_t *at)
{
	struct sites s = {said->site + *at, 0};

	for (; *at < said->head->n[HP_FACT_SITE] && said->site[*at].pid == pid; ++*at)
		s.n++;
	return s;
}

static void mended(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_subject *s = job->subject;
	struct sites wrong;
	size_t at = 0;

	if (!s || s->gone)
		return;
	wrong = sites_of(said, s->pid, &at);
	if (said->head->code || !all_mended(wrong))
		s->guard.mend_ns = again(++s->guard.failed);
	else
		s->guard.failed = 0;
	if (!wrong.n)
		return;
	set_wrong(s, wrong);
	s->guard.seen++;
	if (any_found(wrong, HP_GUARD_PROBE))
		s->guard.fight_ns = again(++s->guard.fights);
	if (!all_mended(wrong)) {
		tell(s, "they cannot be put back: calls may run old code");
		return;
	}
	s->guard.mended += (unsigned)wrong.n;
	hp_metrics_add(s->d, HP_COUNT_REPAIRED, wrong.n);
	tell(s, s->guard.fights >= IN_VAIN_MAX
			? "put back; whoever changes them does it again and again, so that they "
			  "are put back less often from now on"
			: "put back; until then calls ran old code");
	hp_guarded_free(&s->guard);
}

/* Whether a job may come to anything: a debugger's int3 is left to it, and what nobody knows. */
static bool may_mend(const struct hp_subject *s, struct sites wrong)
{
	uint64_t now = hp_now_ns();

	if (now < s->guard.mend_ns || (now < s->guard.fight_ns && any_found(wrong, HP_GUARD_PROBE)))
		return false;
	return any_found(wrong, HP_GUARD_PROBE) || any_found(wrong, HP_GUARD_ORIGINAL);
}

static void mend(struct hp_subject *s)
{
	struct hp_job_request req = {.kind = HP_JOB_GUARD, .pid = s->pid};
	struct hp_job *job = hp_job_new(s->d, &req, NULL);

	if (!job) {
		hp_log(HP_LOG_ERROR, "no memory to put the entries of process %d right", s->pid);
		return;
	}
	job->on_answer = mended;
	hp_job_submit(job, false);
}

static void note_wrong(struct hp_subject *s, struct sites wrong)
{
	if (may_mend(s, wrong)) {
		set_wrong(s, wrong);
		mend(s);
	} else if (!is_known(&s->guard, wrong)) {
		set_wrong(s, wrong);
		s->guard.seen++;
		tell(s, "left as they are for now: calls may run old code");
	}
}

/* --- all of them ---------------------------------------------------------------------------------- */

struct round {
	uint64_t since_ns;
	void (*done)(void *arg);
	void *arg;
};

static void note_lost(struct hp_subject *s)
{
	struct hp_guarded *g = &s->guard;

	if (!g->lost)
		hp_log(HP_LOG_WARNING,
		       "process %d: to look at its entries takes too long: it is not known whether they "
		       "are right",
		       s->pid);
	g->look_ns = again(++g->lost);
}

static void note_target(struct hp_daemon *d, const struct hp_fact_target *t, struct sites wrong)
{
	struct hp_subject *s = hp_subject_find(d, t->pid);

	/* What is being done just now its own answer will tell. */
	if (!s || s->running || s->queued || !s->patches || d->stopping)
		return;
	if (t->lost) {
		note_lost(s);
		return;
	}
	s->guard.lost = 0;
	s->guard.look_ns = 0;
	if (t->patches)
		s->unproven = false;
	if (wrong.n)
		note_wrong(s, wrong);
	else if (!t->patches)
		hp_guard_dropped(s);
	else
		hp_guarded_free(&s->guard); /* or somebody else put it right */
}

static void looked(struct hp_job *job, const struct hp_job_said *said)
{
	struct round *r = job->client;
	struct hp_daemon *d = job->d;
	size_t at = 0;

	for (size_t i = 0; i < said->head->n[HP_FACT_TARGET]; i++)
		note_target(d, &said->target[i], sites_of(said, said->target[i].pid, &at));
	d->guard_cost_ns = hp_now_ns() - r->since_ns;
	r->done(r->arg);
	free(r);
}

/* The targets at rest that have patches, but for those that would hold up the look at all. */
static size_t collect(const struct hp_daemon *d, pid_t pid, pid_t **ret)
{
	uint64_t now = hp_now_ns();
	const struct hp_subject *s;
	size_t n = 0, room = 1;
	pid_t *v;

	TAILQ_FOREACH(s, &d->subjects, link)
		room++;
	v = calloc(room, sizeof(*v));
	TAILQ_FOREACH(s, &d->subjects, link)
		if (v && s->patches && !s->gone && !s->running &&
		    (pid ? pid == s->pid : now >= s->guard.look_ns))
			v[n++] = s->pid;
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
	*r = (struct round){hp_now_ns(), done, arg};
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
	uint64_t span = COST_MAX * d->guard_cost_ns;

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

/* --- what an exec took ------------------------------------------------------------------------------ */

static void forget_dropped(struct hp_daemon *d, struct hp_dropped *x)
{
	TAILQ_REMOVE(&d->dropped, x, link);
	d->n_dropped--;
	hp_close(&x->pidfd);
	free(x);
}

void hp_guard_dropped(struct hp_subject *s)
{
	struct hp_daemon *d = s->d;
	struct hp_dropped *x;

	if (!hp_pidfd_lives(s->pidfd))
		return; /* its end is told by itself */
	if (s->unproven) { /* whose it was has taken them out */
		hp_subject_forget(s);
		return;
	}
	x = calloc(1, sizeof(*x));
	hp_log(HP_LOG_WARNING, "process %d: it runs another program now, and its patches are gone",
	       s->pid);
	hp_events_send(d, s->pid, false,
		       hp_event_new("dropped", s->pid,
				    json_pack("{s:I,s:s}", "patches", (json_int_t)s->patches,
					      "detail", "it runs another program now (exec)")));
	if (d->n_dropped == DROPPED_MAX)
		forget_dropped(d, TAILQ_FIRST(&d->dropped));
	if (x && (x->pidfd = fcntl(s->pidfd, F_DUPFD_CLOEXEC, 0)) >= 0) {
		x->pid = s->pid;
		x->patches = s->patches;
		x->wall_ns = hp_wall_ns();
		TAILQ_INSERT_TAIL(&d->dropped, x, link);
		d->n_dropped++;
	} else {
		free(x);
	}
	hp_subject_forget(s);
}

json_t *hp_guard_dropped_list(struct hp_daemon *d, pid_t pid)
{
	json_t *a = json_array();
	struct hp_dropped *x, *after;

	for (x = TAILQ_FIRST(&d->dropped); x; x = after) {
		after = TAILQ_NEXT(x, link);
		if (!hp_pidfd_lives(x->pidfd)) {
			forget_dropped(d, x);
			continue;
		}
		if (pid && pid != x->pid)
			continue;
		if (json_array_append_new(
			    a, json_pack("{s:i,s:I,s:s,s:o}", "pid", (int)x->pid, "patches",
					 (json_int_t)x->patches, "why", "exec", "noticed",
					 hp_json_time(x->wall_ns))) < 0)
			break;
	}
	return a;
}

void hp_guard_end(struct hp_daemon *d)
{
	while (!TAILQ_EMPTY(&d->dropped))
		forget_dropped(d, TAILQ_FIRST(&d->dropped));
}

void hp_guard_forget(struct hp_daemon *d)
{
	struct hp_dropped *x;

	TAILQ_FOREACH(x, &d->dropped, link)
		hp_close(&x->pidfd);
}
