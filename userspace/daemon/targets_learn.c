/* SPDX-License-Identifier: MIT */
/* What hpd knows of the processes is what lists and answers tell; at its start one list of all. */
#include "daemon/targets.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "daemon/claims.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/status.h"
#include "hp/err.h"
#include "watch/watch.h"

/* A job that somebody killed says nothing of what one before it left. */
#define SEARCHES 3

/* What a list says may be from before another hpd was done with the process: then the guard's next look,
 * which is from behind it, finds nothing. */
static void take_over(struct hp_subject *s, struct hp_locks *locks)
{
	bool was_ours = s->patches || s->claim >= 0;

	s->patches = hp_claim_take(s->d->claims_fd, s->pid, &s->claim, locks) ? s->counted : 0;
	s->unproven |= !was_ours;
}

/* What each of the subjects has. */
static void count_patches(struct hp_daemon *d, const struct hp_job_said *said, struct hp_locks *locks)
{
	struct hp_subject *s;

	TAILQ_FOREACH(s, &d->subjects, link)
		s->counted = s->retained = s->replaced = s->untold = 0;
	for (size_t i = 0; i < said->head->n[HP_FACT_PATCH]; i++) {
		const struct hp_fact_patch *p = &said->patch[i];

		s = hp_subject_find(d, p->pid);
		if (!s && !hp_claim_is_foreign(d->claims_fd, p->pid, locks))
			s = hp_subject_get(d, p->pid); /* or it has exited meanwhile */
		if (!s)
			continue;
		s->counted++;
		if (p->state == HP_STATE_RETAINED)
			s->retained++;
		else
			s->replaced += p->functions;
	}
	for (size_t i = 0; i < said->head->n[HP_FACT_UNKNOWN]; i++) {
		s = hp_subject_find(d, said->unknown[i].pid);
		if (s)
			s->untold = true;
	}
}

/* @all: whoever asked may see every process. */
static void learn_list(struct hp_daemon *d, pid_t pid, bool all, const struct hp_job_said *said)
{
	struct hp_subject *s, *after;
	struct hp_locks locks = {0};

	count_patches(d, said, &locks);
	for (s = TAILQ_FIRST(&d->subjects); s; s = after) {
		after = TAILQ_NEXT(s, link);
		/* What is being loaded or unloaded just now its own answer will tell. */
		if (s->gone || (pid ? s->pid != pid : s->running != NULL))
			continue;
		if (!s->counted && (!all || s->untold))
			continue; /* the list does not tell of it */
		if (s->patches && !s->counted) {
			/* One of many may be from before a load. */
			if (pid)
				hp_guard_dropped(s);
			continue;
		}
		/* A process with patches is ours from now on; what is only looked at is not. */
		if (s->counted)
			take_over(s, &locks);
		s->functions = s->patches ? s->replaced : 0;
		hp_subject_set_retained(s, s->patches && s->retained);
		hp_subject_settle(s);
	}
	hp_locks_free(&locks);
}

void hp_targets_learn(struct hp_daemon *d, const struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_subject *s = job->subject;

	hp_guard_begin(d); /* which ends by itself where there is no patch */
	/* A list of some says nothing of the others. */
	if (job->req.kind == HP_JOB_LIST && !hp_job_request_is_family(&job->req))
		learn_list(d, job->req.pid, job->req.pid || !job->peer, said);
	if (!s || s->gone || (job->req.kind != HP_JOB_LOAD && job->req.kind != HP_JOB_UNLOAD))
		return;
	s->patches = said->head->patches_left;
	s->unproven = false;
	s->functions = said->head->functions_left;
	if (said->head->retained)
		hp_subject_set_retained(s, true);
	hp_events_send(d, s->pid, false, hp_subject_event(s));
}

/* Where an agent was left there may be no patch. */
static void clean_up(struct hp_daemon *d, pid_t pid, struct hp_locks *locks)
{
	struct hp_subject *s =
		hp_claim_is_foreign(d->claims_fd, pid, locks) ? NULL : hp_subject_get(d, pid);

	if (!s)
		return; /* another hpd's, or it has exited meanwhile */
	hp_log(HP_LOG_WARNING, "process %d: an agent was left in it", pid);
	if (!s->running)
		hp_subject_recover(s);
}

static void tell_unknown(const struct hp_fact_unknown *u)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_UNKNOWN, .pid = u->pid};

	hp_log_about(HP_LOG_WARNING, &about, "process %d is %s: it is left alone", u->pid, u->detail);
}

static void take_up(struct hp_daemon *d, const struct hp_fact_patch *p)
{
	struct hp_subject *s = hp_subject_find(d, p->pid);
	struct hp_err err;

	if (!s || !s->patches)
		return;
	if (hp_subject_claim(s, true, &err) < 0)
		hp_log(HP_LOG_WARNING, "process %d: %s", p->pid, err.text);
	if (p->state != HP_STATE_LOADING && p->state != HP_STATE_UNLOADING)
		return;
	hp_log(HP_LOG_WARNING, "process %d: patch %.16s was left while %s", p->pid, p->id,
	       p->state == HP_STATE_LOADING ? "loading" : "unloading");
	if (!s->running)
		hp_subject_recover(s);
}

static void found(struct hp_job *job, const struct hp_job_said *said)
{
	const uint32_t *n = said->head->n;
	struct hp_locks locks = {0};

	hp_fault_pass(HP_FAULT_HPD_FOUND);
	for (size_t i = 0; i < n[HP_FACT_PID]; i++)
		clean_up(job->d, said->pid[i], &locks);
	hp_locks_free(&locks);
	for (size_t i = 0; i < n[HP_FACT_UNKNOWN]; i++)
		tell_unknown(&said->unknown[i]);
	for (size_t i = 0; i < n[HP_FACT_PATCH]; i++)
		take_up(job->d, &said->patch[i]);
	if (said->head->code)
		hp_log(HP_LOG_WARNING, "it is not known which processes have patches: %s",
		       said->head->text);
	else if (n[HP_FACT_PATCH])
		hp_log(HP_LOG_INFO, "patches found in running processes: %u", n[HP_FACT_PATCH]);
	if (said->head->code && !job->d->stopping && ++job->d->searches < SEARCHES)
		hp_targets_recover(job->d);
	else
		hp_daemon_begin(job->d);
}

struct keeper {
	struct hp_daemon *d;
	struct hp_locks locks;
};

static bool keep_foreign(void *arg, pid_t pid)
{
	struct keeper *k = arg;

	return hp_claim_is_foreign(k->d->claims_fd, pid, &k->locks);
}

void hp_targets_recover(struct hp_daemon *d)
{
	struct hp_job_request req = {.kind = HP_JOB_LIST, .traces = true};
	struct hp_job *job = hp_job_new(d, &req, NULL);
	struct keeper keeper = {.d = d};

	if (d->watch)
		hp_watch_sweep(keep_foreign, &keeper);
	hp_locks_free(&keeper.locks);
	if (!job) {
		hp_daemon_begin(d);
		return;
	}
	job->on_answer = found;
	hp_job_submit(job, false);
}
