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

#define IN_VAIN_MAX  3 /* then less and less often: */
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
	json_t *looked =
		g->looked_ns ? hp_json_time(hp_wall_ns() - (hp_now_ns() - g->looked_ns)) : NULL;

	return json_pack("{s:o?,s:o?,s:i,s:i,s:i,s:b}", "wrong",
			 g->n_wrong ? hp_json_guard(g->wrong, g->n_wrong) : NULL, "looked", looked,
			 "lost", (int)g->lost.times, "seen", (int)g->seen, "mended", (int)g->mended,
			 "set_atomic", !g->n_wrong && !g->lost.times && !g->passed_over);
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

static size_t n_mended(struct sites wrong)
{
	size_t n = 0;

	for (size_t i = 0; i < wrong.n; i++)
		n += wrong.v[i].mended;
	return n;
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

static void in_vain(struct hp_in_vain *v)
{
	v->times++;
	v->last_ns = hp_now_ns();
}

/* When it is to be tried again. */
static uint64_t again(const struct hp_in_vain *v)
{
	uint64_t wait = AGAIN_NS;

	if (v->times < IN_VAIN_MAX)
		return 0;
	for (unsigned i = IN_VAIN_MAX; i < v->times && wait < AGAIN_MAX_NS; i++)
		wait *= 2;
	return v->last_ns + (wait < AGAIN_MAX_NS ? wait : AGAIN_MAX_NS);
}

static void mended(struct hp_job *job, const struct hp_job_said *said)
{
	const struct sites wrong = {said->site, said->head->n[HP_FACT_SITE]};
	struct hp_subject *s = job->subject;
	struct hp_guarded *g;

	if (!s || s->gone)
		return;
	g = &s->guard;
	if (said->head->code || (wrong.n && !n_mended(wrong)))
		in_vain(&g->failed);
	else
		g->failed.times = 0;
	if (!wrong.n)
		return;
	set_wrong(s, wrong);
	g->seen++;
	if (any_found(wrong, HP_GUARD_PROBE))
		in_vain(&g->fights);
	if (n_mended(wrong) < wrong.n) {
		tell(s, "they cannot be put back: calls may run old code");
		return;
	}
	g->mended += (unsigned)wrong.n;
	hp_metrics_add(s->d, HP_COUNT_REPAIRED, wrong.n);
	tell(s, g->fights.times >= IN_VAIN_MAX
			? "put back; whoever changes them does it again and again, so that they "
			  "are put back less often from now on"
			: "put back; until then calls ran old code");
	hp_guarded_free(g);
}

/* Whether a job may come to anything: a debugger's int3 is left to it, and what nobody knows. */
static bool may_mend(const struct hp_subject *s, struct sites wrong)
{
	uint64_t now = hp_now_ns();

	if (now < again(&s->guard.failed) ||
	    (now < again(&s->guard.fights) && any_found(wrong, HP_GUARD_PROBE)))
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

/* Perhaps somebody else put them right. */
static void note_right(struct hp_guarded *g)
{
	g->failed.times = 0;
	if (hp_now_ns() - g->fights.last_ns >= AGAIN_MAX_NS)
		g->fights.times = 0;
	hp_guarded_free(g);
}

/* Who asks for it alone does so when he likes, which is not to keep it away from the others for longer. */
static void note_lost(struct hp_guarded *g)
{
	if (hp_now_ns() >= again(&g->lost))
		in_vain(&g->lost);
	if (g->due_ns < again(&g->lost))
		g->due_ns = again(&g->lost);
}

void hp_guard_note(struct hp_subject *s, const struct hp_fact_target *t,
		   const struct hp_fact_site *wrong, size_t n)
{
	struct hp_guarded *g = &s->guard;

	/* What is being done just now its own answer will tell. */
	if (s->running || s->queued || !s->patches || s->d->stopping)
		return;
	g->passed_over = t->outcome == HP_GUARD_PASSED_OVER;
	if (g->passed_over)
		return;
	g->told_ns = hp_now_ns();
	g->due_ns = t->ns > HP_GUARD_CHEAP_NS ? g->told_ns + HP_GUARD_COST_MAX * t->ns : 0;
	if (t->outcome == HP_GUARD_LOST) {
		note_lost(g);
		return;
	}
	g->looked_ns = g->told_ns;
	g->lost.times = 0;
	if (t->patches)
		s->unproven = false;
	if (n)
		note_wrong(s, (struct sites){wrong, n});
	else if (!t->patches)
		hp_guard_dropped(s);
	else
		note_right(g);
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
