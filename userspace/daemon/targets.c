/* SPDX-License-Identifier: MIT */
/*
 * A subject is freed in one place, hp_subject_settle(), and only when no job refers to it; every
 * function that may get there says so.
 */
#include "daemon/targets.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/calls.h"
#include "daemon/claims.h"
#include "daemon/crash.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/views.h"
#include "hp/err.h"
#include "ipc/json.h"

#define QUEUE_MAX 32
#define RETRY_NS     (2 * HP_S)
#define RETRY_MAX_NS (300 * HP_S)

static int by_pid(const void *a, const void *b)
{
	return ((const struct hp_subject *)a)->pid - ((const struct hp_subject *)b)->pid;
}

struct hp_subject *hp_subject_find(struct hp_daemon *d, pid_t pid)
{
	const struct hp_subject key = {.pid = pid};
	struct hp_subject **s = tfind(&key, &d->subjects_by_pid, by_pid);

	return s ? *s : NULL;
}

/* Its pid may be another process's by now. */
static void set_gone(struct hp_subject *s)
{
	if (!s->gone)
		(void)tdelete(s, &s->d->subjects_by_pid, by_pid); /* it is there */
	s->gone = true;
}

static bool in_use(const struct hp_subject *s)
{
	return s->jobs || s->queued || (!s->gone && (s->patches || s->call_watchers));
}

static void end_watchers(struct hp_subject *s)
{
	struct hp_job_head head = {.word = HP_WORD_ANSWER, .code = -HP_E_GONE};
	const struct hp_job_said said = {.head = &head};

	snprintf(head.text, sizeof(head.text), "process %d has exited", s->pid);
	hp_events_end_calls(s->d, s->pid, &said);
}

/* The crash is the program's own, but whoever loaded the patch wants to know where it was. */
static void tell_of_end(struct hp_subject *s)
{
	json_t *crash = s->patches ? hp_crash_find(s->pid) : NULL;

	if (crash)
		hp_log(HP_LOG_WARNING, "process %d crashed in patch %.12s: %s", s->pid,
		       json_string_value(json_object_get(crash, "hp_id")),
		       json_string_value(json_object_get(crash, "detail")));
	hp_events_send(s->d, s->pid, false, hp_event_new("target-gone", s->pid, crash));
}

static void process_exited(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_subject *s = (struct hp_subject *)((char *)op -
						     offsetof(struct hp_subject, exited));

	if (res < 0 && in_use(s)) {
		/* hp_subject_settle() gave it up, and then somebody asked for it again. */
		hp_ring_poll(s->d->ring, op, s->pidfd);
		return;
	}
	if (res >= 0) {
		s->jobs++; /* holds it while its watchers go */
		end_watchers(s);
		s->jobs--;
		set_gone(s);
		tell_of_end(s);
		s->patches = 0;
	}
	hp_subject_settle(s);
}

static void tick(struct hp_timer *t)
{
	struct hp_subject *s = (struct hp_subject *)((char *)t - offsetof(struct hp_subject, tick));

	hp_events_send(s->d, s->pid, true, hp_calls_event(s));
	if (s->call_watchers)
		hp_timer_set(s->d->ring, t, hp_now_ns() + HP_S);
}

static void retry(struct hp_timer *t)
{
	hp_subject_recover((struct hp_subject *)((char *)t - offsetof(struct hp_subject, retry)));
}

void hp_subject_set_retained(struct hp_subject *s, bool retained)
{
	if (!retained) {
		hp_timer_clear(s->d->ring, &s->retry);
		s->retry_ns = 0;
		return;
	}
	if (s->retry.at_ns)
		return;
	s->retry_ns = !s->retry_ns ? RETRY_NS : s->retry_ns < RETRY_MAX_NS ? 2 * s->retry_ns
									     : s->retry_ns;
	hp_timer_set(s->d->ring, &s->retry, hp_now_ns() + s->retry_ns);
}

struct hp_subject *hp_subject_get(struct hp_daemon *d, pid_t pid)
{
	struct hp_subject *s = hp_subject_find(d, pid);
	hp_autoclose int pidfd = -1;

	if (s)
		return s;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->d = d;
	s->pid = pid;
	if (!tsearch(s, &d->subjects_by_pid, by_pid)) {
		free(s);
		return NULL;
	}
	s->pidfd = HP_TAKE_FD(pidfd);
	s->claim = -1;
	s->exited.done = process_exited;
	s->tick.fire = tick;
	s->retry.fire = retry;
	TAILQ_INIT(&s->queue);
	TAILQ_INSERT_TAIL(&d->subjects, s, link);
	hp_ring_poll(d->ring, &s->exited, s->pidfd);
	return s;
}

int hp_subject_claim(struct hp_subject *s, bool view, struct hp_err *err)
{
	struct hp_daemon *d = s->d;
	struct hp_locks locks = {0};
	bool ours = hp_claim_take(d->claims_fd, s->pid, &s->claim, &locks);
	int k;

	hp_locks_free(&locks);
	if (!ours)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d is served by another hpd; use that one's socket",
				  s->pid);
	k = hp_fault(HP_FAULT_HPD_CLAIMED, err);
	if (k < 0)
		return k;
	hp_views_postpone(d);
	return view && d->watch ? hp_subject_open_view(s, err) : 0;
}

/* --- work -------------------------------------------------------------------------------------- */

static void watch_answered(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_subject *s = job->subject;

	hp_timer_clear(s->d->ring, &s->tick);
	/* Not asked to stop, or unable: starting it again would come to the same. */
	if (!job->stop_asked || said->head->code)
		hp_events_end_calls(s->d, s->pid, said);
}

static struct hp_job *new_job(struct hp_subject *s, enum hp_job_kind kind,
			      void (*on_answer)(struct hp_job *, const struct hp_job_said *))
{
	struct hp_job_request req = {.kind = kind, .pid = s->pid};
	struct hp_job *job = hp_job_new(s->d, &req, NULL);

	if (job) {
		job->subject = s;
		job->on_answer = on_answer;
	} else {
		hp_log(HP_LOG_ERROR, "no memory for a %s of process %d", hp_job_kind_name(kind),
		       s->pid);
	}
	return job;
}

static struct hp_job *take_next(struct hp_subject *s)
{
	struct hp_job *job = TAILQ_FIRST(&s->queue);

	if (job) {
		TAILQ_REMOVE(&s->queue, job, link);
		s->queued--;
	} else if (s->call_watchers && !s->d->stopping) {
		job = new_job(s, HP_JOB_WATCH, watch_answered);
		if (job)
			hp_timer_set(s->d->ring, &s->tick, hp_now_ns() + HP_S);
	}
	return job;
}

/* Starts what is next.  The job may end in here, and @s with it. */
static void next(struct hp_subject *s)
{
	struct hp_job *job;

	if (s->running) {
		if (s->running->req.kind == HP_JOB_WATCH && s->queued)
			hp_job_stop(s->running, false);
		return;
	}
	job = take_next(s);
	if (!job)
		return;
	s->running = job;
	s->jobs++;
	hp_job_start(job);
}

static void subject_free(struct hp_subject *s)
{
	hp_timer_clear(s->d->ring, &s->tick);
	hp_timer_clear(s->d->ring, &s->retry);
	TAILQ_REMOVE(&s->d->subjects, s, link);
	set_gone(s);
	hp_subject_close_view(s);
	hp_guarded_free(&s->guard);
	/* Not one's own: then this gives nothing away. */
	hp_claim_give(s->d->claims_fd, s->pid, &s->claim);
	close(s->pidfd);
	free(s);
}

void hp_subject_settle(struct hp_subject *s)
{
	struct hp_daemon *d = s->d;

	if (in_use(s))
		return;
	/* The poll of the pidfd refers to us until it has completed. */
	if (s->exited.armed) {
		hp_ring_cancel(d->ring, &s->exited);
		return;
	}
	subject_free(s);
	hp_daemon_settle(d);
}

void hp_subject_queue(struct hp_subject *s, struct hp_job *job, bool first)
{
	job->subject = s;
	if (first)
		TAILQ_INSERT_HEAD(&s->queue, job, link);
	else
		TAILQ_INSERT_TAIL(&s->queue, job, link);
	s->queued++;
	next(s);
}

bool hp_subject_full(const struct hp_subject *s)
{
	return s->queued >= QUEUE_MAX;
}

bool hp_subject_has(const struct hp_subject *s, enum hp_job_kind kind)
{
	const struct hp_job *job;

	if (s->running && s->running->req.kind == kind)
		return true;
	TAILQ_FOREACH(job, &s->queue, link)
		if (job->req.kind == kind)
			return true;
	return false;
}

void hp_subject_unqueue(struct hp_subject *s, struct hp_job *job)
{
	TAILQ_REMOVE(&s->queue, job, link);
	s->queued--;
	s->jobs++; /* holds it while the next one has its turn */
	hp_job_free(job);
	s->jobs--;
	hp_subject_settle(s);
}

void hp_subject_answered(struct hp_subject *s, struct hp_job *job)
{
	s->running = NULL;
	next(s);
}

void hp_subject_ended(struct hp_subject *s)
{
	s->jobs--;
	next(s);
	hp_subject_settle(s);
}

static void recovered(struct hp_job *job, const struct hp_job_said *said)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_RECOVERED, .pid = job->req.pid};
	const char *did = said->head->code ? NULL : said->head->text;

	if (did && job->subject)
		job->subject->lost_recoveries = 0;
	if (!did)
		hp_log_about(HP_LOG_ERROR, &about, "process %d: not put right: %s", job->req.pid,
			     said->head->text);
	/* What it has taken out did not go by itself, nor did what the job that died had taken out, or had
	 * not told any more; the list behind it tells what is left. */
	if (did && job->subject)
		job->subject->patches = 0;
	if (did && !strcmp(did, "nothing"))
		return;
	hp_metrics_add(job->d, HP_COUNT_RECOVERED, did != NULL);
	if (did)
		hp_log_about(HP_LOG_INFO, &about, "process %d: put right: %s", job->req.pid, did);
	hp_events_send(job->d, job->req.pid, false,
		       hp_event_new("recovered", job->req.pid,
				    json_pack("{s:o}", "did", hp_json_text(did ? did : "failed"))));
}

void hp_subject_recover(struct hp_subject *s)
{
	struct hp_job *list = new_job(s, HP_JOB_LIST, NULL);
	struct hp_job *job = new_job(s, HP_JOB_RECOVER, recovered);

	if (list) {
		TAILQ_INSERT_HEAD(&s->queue, list, link);
		s->queued++;
	}
	if (job)
		hp_subject_queue(s, job, true);
}

void hp_subject_failed(struct hp_subject *s, int code)
{
	if (code == -HP_E_PARTIAL || (code == -HP_E_GONE && hp_pidfd_lives(s->pidfd)))
		hp_subject_recover(s);
}

void hp_subject_watch(struct hp_subject *s)
{
	s->call_watchers++;
}

void hp_subject_go(struct hp_subject *s)
{
	next(s);
}

void hp_subject_forget(struct hp_subject *s)
{
	s->patches = 0;
	hp_subject_settle(s);
}

void hp_subject_dismiss(struct hp_subject *s, const struct hp_err *why)
{
	struct hp_job *job;

	s->jobs++; /* holds it while its clients hear of it */
	if (s->running && s->running->req.kind == HP_JOB_WATCH)
		hp_job_stop(s->running, false);
	while ((job = TAILQ_FIRST(&s->queue))) {
		TAILQ_REMOVE(&s->queue, job, link);
		s->queued--;
		hp_job_refuse(job, why);
	}
	hp_subject_ended(s);
}

void hp_subject_unwatch(struct hp_subject *s)
{
	if (--s->call_watchers == 0 && s->running && s->running->req.kind == HP_JOB_WATCH)
		hp_job_stop(s->running, false);
	hp_subject_settle(s);
}

void hp_targets_free(struct hp_daemon *d)
{
	struct hp_subject *s;

	while ((s = TAILQ_FIRST(&d->subjects)))
		subject_free(s);
}
