/* SPDX-License-Identifier: MIT */
#include "daemon/job_tell.h"

#include <stdio.h>
#include <unistd.h>

#include "daemon/events.h"
#include "ipc/json.h"

static void tell(int sock, struct hp_job_saying *s)
{
	if (hp_job_say(sock, s) < 0)
		_exit(1);
}

void hp_job_tell_event(const struct hp_job *job, const char *kind, const char *step, uint64_t ns,
		       const char *detail, json_t *more)
{
	struct hp_job_saying s = {.head = {.word = HP_WORD_STEP, .ns = ns}};
	json_t *body = json_pack("{s:s,s:s,s:I,s:o}", "job", hp_job_kind_name(job->req.kind), "step",
				 step, "ns", (json_int_t)ns, "detail", hp_json_text(detail));

	if (more && json_object_update(body, more) < 0) {
		json_decref(body);
		body = NULL;
	}
	json_decref(more);
	snprintf(s.head.step, sizeof(s.head.step), "%s", step);
	snprintf(s.head.text, sizeof(s.head.text), "%s", detail);
	s.doc = body ? hp_event_new(kind, job->req.pid, body) : NULL;
	if (!s.doc)
		_exit(1);
	tell(job->sock, &s);
}

void hp_job_tell_step(void *arg, const char *step, uint64_t ns, const char *detail)
{
	hp_job_tell_event(arg, "step", step, ns, detail ? detail : "", NULL);
}

void hp_job_tell_result(const struct hp_job *job, struct hp_job_saying *s)
{
	bool for_us = job->req.kind == HP_JOB_SELECT || job->req.kind == HP_JOB_RECOVER ||
		      job->req.kind == HP_JOB_GUARD;

	if (!s->doc && !for_us)
		_exit(1); /* no memory */
	tell(job->sock, s);
}

void hp_job_tell_error(const struct hp_job *job, int code, const char *text, json_t *result)
{
	struct hp_job_saying s = {.head = {.word = HP_WORD_ANSWER, .code = code}, .doc = result};

	snprintf(s.head.text, sizeof(s.head.text), "%s", text);
	tell(job->sock, &s);
}
