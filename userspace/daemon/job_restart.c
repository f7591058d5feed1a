/* SPDX-License-Identifier: MIT */
/* The job of a restart: it alone may answer and go on. */
#include <unistd.h>

#include "daemon/job_do.h"
#include "daemon/job_tell.h"
#include "daemon/json_out.h"
#include "hp/err.h"

/* A rule lets somebody restart a service, not run what he likes with that one's rights. */
static int refuse_choices(const struct hp_job *job, struct hp_err *err)
{
	const struct hp_restart_request *r = &job->req.restart;

	if (!job->peer || job->peer->uid == 0)
		return 0;
	if (r->n_argv || r->set.n || r->env != HP_RESTART_ENV_KEEP || r->user || r->pidfile)
		return hp_err_set(err, -HP_E_DENIED,
				  "only root may say with which command, environment, user or pid file "
				  "a process is restarted");
	return 0;
}

/* The answer comes at the switch, or with "wait" at the end of the drain. */
int hp_job_do_restart(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		      struct hp_err *err)
{
	struct hp_restart_drained drained;
	struct hp_restart_result result = {0};
	struct hp_restart *r;
	bool answered;
	int k;

	k = refuse_choices(job, err);
	if (k == 0)
		k = hp_restart_begin(&r, &job->req.restart, ops, &result, err);
	if (k < 0 && k != -HP_E_PARTIAL)
		return k;
	answered = k < 0 || !job->req.wait;
	if (k < 0) {
		hp_job_tell_error(job, k, err->text, hp_json_restart_result(&result));
	} else {
		ret->head.ns = result.ready_ns;
		ret->doc = hp_json_restart_result(&result);
		if (answered)
			hp_job_tell_result(job, ret);
	}
	k = hp_restart_follow(r, job->sock, &drained, err);
	if (k == 0) {
		json_t *how = hp_json_restart_drained(&drained);

		if (!answered)
			(void)json_object_set(ret->doc, "drained", how); /* no memory: it is not told */
		hp_job_tell_event(job, "drained", "drained", drained.ns, "",
				  json_pack("{s:o}", "drained", how));
	}
	hp_restart_end(r);
	if (answered)
		_exit(0);
	return k;
}
