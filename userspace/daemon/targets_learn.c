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

static bool in_state(const json_t *patch, const char *state)
{
	const char *s = json_string_value(json_object_get(patch, "state"));

	return s && !strcmp(s, state);
}

/* What a list says may be from before another hpd was done with the process. */
static bool take_over(struct hp_subject *s)
{
	return hp_claim_take(s->d->claims_fd, s->pid, &s->claim) && hp_op_is_patched(s->pid);
}

/* What each of the subjects has. */
static void count_patches(struct hp_daemon *d, const json_t *patches)
{
	struct hp_subject *s;
	size_t i;
	json_t *p;

	TAILQ_FOREACH(s, &d->subjects, link)
		s->counted = s->retained = s->replaced = 0;
	json_array_foreach (patches, i, p) {
		pid_t owner = (pid_t)json_integer_value(json_object_get(p, "pid"));

		s = hp_subject_find(d, owner);
		if (!s && !hp_claim_is_foreign(d->claims_fd, owner))
			s = hp_subject_get(d, owner); /* or it has exited meanwhile */
		if (!s)
			continue;
		s->counted++;
		if (in_state(p, "retained"))
			s->retained++;
		else
			s->replaced += json_array_size(json_object_get(p, "functions"));
	}
}

static void learn_list(struct hp_daemon *d, pid_t pid, const json_t *patches)
{
	struct hp_subject *s, *after;

	count_patches(d, patches);
	for (s = TAILQ_FIRST(&d->subjects); s; s = after) {
		after = TAILQ_NEXT(s, link);
		/* What is being loaded or unloaded just now its own answer will tell. */
		if (s->gone || (pid ? s->pid != pid : s->running != NULL))
			continue;
		if (s->patches && !s->counted && !hp_op_is_patched(s->pid)) {
			hp_guard_dropped(s);
			continue;
		}
		/* A process with patches is ours from now on; what is only looked at is not. */
		s->patches = s->counted && take_over(s) ? s->counted : 0;
		s->functions = s->patches ? s->replaced : 0;
		hp_subject_set_retained(s, s->patches && s->retained);
		hp_subject_settle(s);
	}
}

/* … of those that a loaded patch supersedes. */
static bool one_retained(const json_t *result)
{
	size_t i;
	json_t *p;

	json_array_foreach (json_object_get(result, "superseded"), i, p)
		if (in_state(p, "retained"))
			return true;
	return false;
}

void hp_targets_learn(struct hp_daemon *d, const struct hp_job *job, const json_t *result)
{
	struct hp_subject *s = job->subject;

	hp_guard_begin(d); /* which ends by itself where there is no patch */
	/* A list of some says nothing of the others. */
	if (job->req.kind == HP_JOB_LIST && !hp_job_request_is_family(&job->req))
		learn_list(d, job->req.pid, json_object_get(result, "patches"));
	if (!s || s->gone || (job->req.kind != HP_JOB_LOAD && job->req.kind != HP_JOB_UNLOAD))
		return;
	s->patches = (size_t)json_integer_value(json_object_get(result, "patches_left"));
	s->functions = (size_t)json_integer_value(json_object_get(result, "functions_left"));
	if (json_is_true(json_object_get(result, "retained")) || one_retained(result))
		hp_subject_set_retained(s, true);
	hp_events_send(d, s->pid, false, hp_subject_event(s));
}

/* Where an agent was left there may be no patch. */
static void clean_up(struct hp_daemon *d, const json_t *pids)
{
	size_t i;
	json_t *p;

	json_array_foreach (pids, i, p) {
		pid_t pid = (pid_t)json_integer_value(p);
		struct hp_subject *s = hp_claim_is_foreign(d->claims_fd, pid)
					       ? NULL
					       : hp_subject_get(d, pid);

		if (!s)
			continue; /* another hpd's, or it has exited meanwhile */
		hp_log(HP_LOG_WARNING, "process %d: an agent was left in it", pid);
		if (!s->running)
			hp_subject_recover(s);
	}
}

static void tell_unknown(const json_t *unknown)
{
	size_t i;
	json_t *u;

	json_array_foreach (unknown, i, u) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(u, "pid"));
		const struct hp_log_about about = {.message_id = HP_MESSAGE_UNKNOWN, .pid = pid};

		hp_log_about(HP_LOG_WARNING, &about, "process %d is %s: it is left alone", pid,
			     json_string_value(json_object_get(u, "detail")));
	}
}

static void found(struct hp_job *job, const json_t *answer)
{
	const json_t *patches = json_object_get(json_object_get(answer, "result"), "patches");
	struct hp_err err;
	size_t i;
	json_t *p;

	hp_fault_pass(HP_FAULT_HPD_FOUND);
	clean_up(job->d, json_object_get(json_object_get(answer, "result"), "traces"));
	tell_unknown(json_object_get(json_object_get(answer, "result"), "unknown_ledgers"));
	json_array_foreach (patches, i, p) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(p, "pid"));
		struct hp_subject *s = hp_subject_find(job->d, pid);

		if (!s || !s->patches)
			continue;
		if (hp_subject_claim(s, true, &err) < 0)
			hp_log(HP_LOG_WARNING, "process %d: %s", pid, err.text);
		if (!in_state(p, "loading") && !in_state(p, "unloading"))
			continue;
		hp_log(HP_LOG_WARNING, "process %d: patch %.16s was left while %s", pid,
		       json_string_value(json_object_get(p, "hp_id")),
		       json_string_value(json_object_get(p, "state")));
		if (!s->running)
			hp_subject_recover(s);
	}
	if (json_array_size(patches))
		hp_log(HP_LOG_INFO, "patches found in running processes: %zu",
		       json_array_size(patches));
	if (!patches)
		hp_log(HP_LOG_WARNING, "it is not known which processes have patches: %s",
		       json_string_value(
			       json_object_get(json_object_get(answer, "error"), "text")));
	hp_daemon_begin(job->d);
}

static bool keep_foreign(void *arg, pid_t pid)
{
	struct hp_daemon *d = arg;

	return hp_claim_is_foreign(d->claims_fd, pid);
}

void hp_targets_recover(struct hp_daemon *d)
{
	struct hp_job_request req = {.kind = HP_JOB_LIST, .traces = true};
	struct hp_job *job = hp_job_new(d, &req, NULL);

	if (d->watch)
		hp_watch_sweep(keep_foreign, d);
	if (!job) {
		hp_daemon_begin(d);
		return;
	}
	job->on_answer = found;
	hp_job_submit(job, false);
}
