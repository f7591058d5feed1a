/* SPDX-License-Identifier: MIT */
#include "daemon/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "access/access.h"
#include "base/defaults.h"
#include "daemon/client_job.h"
#include "daemon/daemon.h"
#include "daemon/doc.h"
#include "daemon/events.h"
#include "daemon/family.h"
#include "daemon/serve.h"
#include "daemon/status.h"
#include "hp/err.h"

/* --- jobs ---------------------------------------------------------------------------------------- */

static void job_step(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_client *c = job->client;

	if (c && c->stream)
		hp_client_line(c, said->doc, said->n_doc);
}

/* A list says which patches an exec took, too: that hpd alone knows. */
static void answer_list(struct hp_client *c, const struct hp_job_said *said, pid_t pid)
{
	struct hp_buf dropped = {0}, doc = {0};
	struct hp_job_said more = *said;

	if (hp_doc_put(&dropped, hp_guard_dropped_list(c->d, pid)) < 0 ||
	    hp_buf_add(&doc, said->doc, said->n_doc) < 0 ||
	    hp_doc_add(&doc, "dropped", dropped.v, dropped.n) < 0) {
		hp_client_reply_error(c, -ENOMEM, "no memory for what an exec took");
	} else {
		more.doc = doc.v;
		more.n_doc = doc.n;
		hp_client_answer(c, &more);
	}
	hp_buf_free(&dropped);
	hp_buf_free(&doc);
}

static void job_answer(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_client *c = hp_client_job_answered(job);

	if (c && job->req.kind == HP_JOB_LIST && !said->head->code)
		answer_list(c, said, job->req.pid);
	else if (c)
		hp_client_answer(c, said);
}

/* @process: a pidfd of the one that is meant; -1: whoever has the number when its turn comes. */
static void run_job(struct hp_client *c, struct hp_job_request *req, const struct hp_peer *peer,
		    int process)
{
	struct hp_job *job;
	struct hp_err err;
	int k = hp_client_job_new(c, req, peer, job_step, job_answer, &job, &err);

	if (k < 0) {
		hp_client_reply_error(c, k, err.text);
		return;
	}
	if (process >= 0) {
		job->process = fcntl(process, F_DUPFD_CLOEXEC, 0);
		if (job->process < 0) {
			(void)hp_err_sys(&err, errno, "the process that is served");
			hp_job_refuse(job, &err);
			return;
		}
	}
	if (c->ndjson)
		hp_client_stream(c);
	hp_job_submit(job, false);
}

/* What changes a process waits for its turn, but for a second restart: what it was asked for is not
 * there any more when its turn comes. */
static bool is_second_restart(const struct hp_client *c, const struct hp_job_request *req)
{
	const struct hp_subject *s =
		req->kind == HP_JOB_RESTART ? hp_subject_find(c->d, req->pid) : NULL;

	return (s && hp_subject_has(s, HP_JOB_RESTART)) ||
	       (req->kind == HP_JOB_RESTART && hp_turns_has(c->d, HP_JOB_RESTART, req->pid));
}

/* For what is about no one process.  False: answered. */
static bool may(struct hp_client *c, enum hp_right right)
{
	struct hp_err err;
	int k = hp_access_general(&c->d->access, &c->peer, right, &err);

	if (k < 0)
		hp_client_deny(c, 0, k, err.text);
	return k == 0;
}

static void take_job(struct hp_client *c, struct hp_job_request *req)
{
	struct hp_err err;

	if (req->kind == HP_JOB_DOCTOR && !may(c, HP_RIGHT_SEE)) {
		hp_job_request_free(req);
	} else if (req->kind != HP_JOB_LIST && hp_job_request_is_family(req)) {
		hp_family_begin(c, req);
	} else if (is_second_restart(c, req)) {
		(void)hp_err_set(&err, -HP_E_BUSY, "process %d is being restarted already",
				 (int)req->pid);
		hp_job_request_free(req);
		hp_client_reply_error(c, err.code, err.text);
	} else {
		run_job(c, req, &c->peer, -1);
	}
}

/* --- what is no job ------------------------------------------------------------------------------ */

static void tell_health(struct hp_client *c)
{
	hp_client_reply(c, json_pack("{s:i,s:b,s:s,s:i}", "schema", 1, "ok", 1, "version",
				     HP_VERSION, "pid", (int)getpid()));
}

/* False: answered.  0 is every process. */
static bool there_is(struct hp_client *c, pid_t pid)
{
	struct hp_err err;

	if (!pid || kill(pid, 0) == 0 || errno != ESRCH)
		return true;
	(void)hp_err_set(&err, -HP_E_GONE, "there is no process %d", (int)pid);
	hp_client_reply_error(c, err.code, err.text);
	return false;
}

static void tell_status(struct hp_client *c, pid_t pid)
{
	if (may(c, HP_RIGHT_SEE) && there_is(c, pid))
		hp_status_ask(c, pid);
}

static void tell_metrics(struct hp_client *c)
{
	struct hp_buf text = {0};

	if (!may(c, HP_RIGHT_SEE))
		return;
	if (hp_metrics_write(c->d, &text) < 0)
		hp_client_reply_error(c, -ENOMEM, "no memory for metrics");
	else
		hp_client_reply_metrics(c, &text);
	hp_buf_free(&text);
}

static void watch(struct hp_client *c, pid_t pid)
{
	if (!may(c, HP_RIGHT_SEE))
		return;
	if (c->d->watch)
		hp_events_watch(c, pid, true);
	else
		hp_client_reply_error(c, -HP_E_DENIED, c->d->watch_why);
}

/* A listener is nobody's process: who has the right on some only has no say. */
static void serve(struct hp_client *c, const struct hp_record *rec)
{
	struct hp_serve *l;
	struct hp_err err;
	int k;

	if (!may(c, HP_RIGHT_LOAD))
		return;
	k = hp_serve_begin(c->d, &c->peer, rec, &l, &err);
	if (k < 0)
		hp_client_deny(c, rec->pid, k, err.text);
	else
		hp_client_reply(
			c, json_pack("{s:i,s:o}", "schema", 1, "listener", hp_serve_describe(l)));
}

static void unserve(struct hp_client *c, const char *addr)
{
	struct hp_err err;
	int k;

	if (!may(c, HP_RIGHT_LOAD))
		return;
	k = hp_serve_end(c->d, addr, &err);
	if (k < 0)
		hp_client_reply_error(c, k, err.text);
	else
		hp_client_reply(c, json_pack("{s:i}", "schema", 1));
}

static void tell_served(struct hp_client *c)
{
	const struct hp_serve *l;
	json_t *list;

	if (!may(c, HP_RIGHT_SEE))
		return;
	list = json_array();
	TAILQ_FOREACH(l, &c->d->listeners, link)
		if (!l->closing && json_array_append_new(list, hp_serve_describe(l)) < 0)
			break;
	hp_client_reply(c, json_pack("{s:i,s:o}", "schema", 1, "listeners", list));
}

/* --- of the control socket, and of a listener ------------------------------------------------------ */

static void take_control(struct hp_client *c, const struct hp_record *rec,
			 struct hp_job_request *req)
{
	struct hp_err err;
	int k = hp_access_peer(&c->d->access, &c->peer, &err);

	hp_metrics_add(c->d, HP_COUNT_REQUESTS, 1);
	if (k < 0) {
		hp_job_request_free(req);
		hp_client_turn_away(c, k, 0, err.text);
		return;
	}
	if (c->d->stopping) {
		hp_job_request_free(req);
		hp_client_reply_error(c, -HP_E_UNREACHABLE, "hpd is about to end");
		return;
	}
	switch ((enum hp_ask)rec->ask) {
	case HP_ASK_STATUS:
		tell_status(c, rec->pid);
		break;
	case HP_ASK_METRICS:
		tell_metrics(c);
		break;
	case HP_ASK_EVENTS:
		if (may(c, HP_RIGHT_SEE) && there_is(c, rec->pid))
			hp_events_watch(c, rec->pid, false);
		break;
	case HP_ASK_WATCH:
		watch(c, rec->pid);
		break;
	case HP_ASK_SERVED:
		tell_served(c);
		break;
	case HP_ASK_SERVE:
		serve(c, rec);
		break;
	case HP_ASK_UNSERVE:
		unserve(c, rec->file);
		break;
	case HP_ASK_JOB:
		take_job(c, req);
		break;
	default:
		tell_health(c);
	}
}

/* Done with the rights of who began it, in its process, with its times. */
static void take_wire(struct hp_client *c, const struct hp_record *rec, struct hp_job_request *req)
{
	struct hp_serve *l = c->from;
	unsigned status = 403;
	struct hp_err err;
	int k = hp_serve_allow(l, c, rec, req, &status, &err);

	if (k < 0 || l->closing || c->d->stopping || rec->ask == HP_ASK_ALLOW) {
		hp_job_request_free(req);
		if (k < 0)
			hp_client_turn_away(c, k, status, err.text);
		else if (l->closing || c->d->stopping)
			hp_client_reply_error(c, -HP_E_UNREACHABLE,
					      "hpd is about to end, or serves this no more");
		else
			hp_client_reply(c, json_pack("{s:i}", "schema", 1));
		return;
	}
	hp_metrics_add(c->d, HP_COUNT_WIRE, 1);
	req->pid = l->pid;
	req->by_target = req->kind == HP_JOB_LOAD;
	req->load.timeout_ns = req->unload.timeout_ns = l->timeout_ns;
	req->load.park_ns = req->unload.park_ns = l->park_ns;
	req->unload.active_only = true;
	hp_job_request_settle(req);
	run_job(c, req, &l->by, l->pidfd);
}

static const char *name_of(const struct hp_record *rec)
{
	static const char *const names[HP_ASKS] = {
		[HP_ASK_HEALTH] = "health",   [HP_ASK_STATUS] = "status",
		[HP_ASK_METRICS] = "metrics", [HP_ASK_EVENTS] = "events",
		[HP_ASK_WATCH] = "watch",     [HP_ASK_SERVED] = "list of listeners",
		[HP_ASK_SERVE] = "serve",     [HP_ASK_UNSERVE] = "serve --stop",
		[HP_ASK_ALLOW] = "use of a listener",
	};

	return rec->ask == HP_ASK_JOB ? hp_job_kind_name((enum hp_job_kind)rec->kind)
				      : names[rec->ask];
}

int hp_request_take(struct hp_daemon *d, const struct hp_record *rec, struct hp_job_request *req,
		    int sock, struct hp_err *err)
{
	struct hp_serve *l = rec->listener ? hp_serve_find(d, rec->listener) : NULL;
	struct hp_client *c;
	int k;

	if (hp_client_find(d, rec->conn))
		k = hp_err_set(err, -HP_E_DENIED, "front asks twice for one client");
	else if (rec->listener && !l && hp_serve_was(rec->listener))
		k = hp_err_set(err, -HP_E_UNREACHABLE, "hpd serves this no more");
	else if (rec->listener && !l)
		k = hp_err_set(err, -HP_E_DENIED, "front speaks of a listener that there is not");
	else
		k = hp_client_new(d, rec->conn, sock, l, &c, err);
	/* Before a job is forked, which would hold it open. */
	close(sock);
	if (k < 0) {
		hp_job_request_free(req);
		if (k == -HP_E_DENIED)
			return k;
		hp_client_refuse(d, rec->conn, err); /* front cannot know, and does not lie */
		return 0;
	}
	c->asks = name_of(rec);
	c->ndjson = rec->flags & HP_FLAG_NDJSON;
	if (l)
		take_wire(c, rec, req);
	else
		take_control(c, rec, req);
	return 0;
}
