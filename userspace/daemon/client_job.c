/* SPDX-License-Identifier: MIT */
#include "daemon/client_job.h"

#include <errno.h>

#include "daemon/client.h"
#include "daemon/job.h"
#include "daemon/targets.h"
#include "daemon/turns.h"
#include "hp/err.h"

struct hp_client *hp_client_job_answered(struct hp_job *job)
{
	struct hp_client *c = job->client;

	job->client = NULL;
	if (c)
		c->gone = NULL;
	return c;
}

/* A job that runs goes on; one that waits is not begun for nobody. */
static void client_gone(struct hp_client *c)
{
	struct hp_job *job = c->owner;

	job->client = NULL;
	if (job->waits)
		hp_turn_leave(job);
	else if (!job->child && job->subject)
		hp_subject_unqueue(job->subject, job);
}

int hp_client_job_new(struct hp_client *c, struct hp_job_request *req, const struct hp_peer *peer,
		      void (*on_step)(struct hp_job *job, const struct hp_job_said *said),
		      void (*on_answer)(struct hp_job *job, const struct hp_job_said *said),
		      struct hp_job **ret, struct hp_err *err)
{
	struct hp_subject *s = req->pid ? hp_subject_find(c->d, req->pid) : NULL;
	struct hp_job *job;

	if (s && hp_subject_full(s)) {
		hp_job_request_free(req);
		return hp_err_set(err, -HP_E_UNREACHABLE,
				  "too many operations wait for this process: try again later");
	}
	job = hp_job_new(c->d, req, peer);
	if (!job)
		return hp_err_set(err, -ENOMEM, "no memory for the operation");
	job->client = c;
	job->on_step = on_step;
	job->on_answer = on_answer;
	c->owner = job;
	c->gone = client_gone;
	*ret = job;
	return 0;
}
