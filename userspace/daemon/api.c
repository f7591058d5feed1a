/* SPDX-License-Identifier: MIT */
#include "daemon/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/access.h"
#include "daemon/client_job.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/family.h"
#include "daemon/json_in.h"
#include "daemon/json_out.h"
#include "daemon/serve_api.h"
#include "daemon/status.h"
#include "hp/err.h"

int hp_api_http_status(int code)
{
	switch (code) {
	case -HP_E_USAGE:
	case -HP_E_BAD_REQUEST:
		return 400;
	case -HP_E_NOT_LOADED:
		return 404;
	case -HP_E_UNREACHABLE:
		return 503;
	}
	switch (hp_err_exit(code)) {
	case HP_EXIT_DONE:
		return 200;
	case HP_EXIT_DENIED:
		return 403;
	case HP_EXIT_REFUSED:
		return 409;
	case HP_EXIT_NOT_QUIESCENT:
		return 504;
	case HP_EXIT_USAGE:
		return 400;
	case HP_EXIT_FAILED:
	case HP_EXIT_PARTIAL:
		break;
	}
	return 500;
}

/* --- jobs for clients ---------------------------------------------------------------------------- */

static void job_event(struct hp_job *job, const json_t *event)
{
	struct hp_conn *c = job->client;

	if (c && c->stream)
		hp_conn_stream_line(c, event);
}

static int code_of(const json_t *error)
{
	return hp_err_code(json_string_value(json_object_get(error, "code")) ?: "");
}

void hp_api_answer(struct hp_conn *c, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");

	if (c->stream)
		hp_conn_stream_answer(c, answer);
	else if (error)
		hp_conn_reply(c, hp_api_http_status(code_of(error)), json_incref((json_t *)answer));
	else
		hp_conn_reply(c, 200, json_incref(json_object_get(answer, "result")));
}

static void job_answer(struct hp_job *job, const json_t *answer)
{
	struct hp_conn *c = hp_client_job_answered(job);
	json_t *result = json_object_get(answer, "result");

	if (!c)
		return;
	if (job->req.kind == HP_JOB_LIST && result &&
	    json_object_set_new(result, "dropped", hp_guard_dropped_list(job->d, job->req.pid)) < 0)
		hp_log(HP_LOG_ERROR, "no memory for what an exec took");
	hp_api_answer(c, answer);
}

static void run_job(struct hp_conn *c, struct hp_job_request *req)
{
	enum hp_job_kind kind = req->kind;
	struct hp_job *job;
	struct hp_err err;
	int k = hp_client_job_new(c, req, &c->peer, job_event, job_answer, &job, &err);

	if (k < 0) {
		hp_conn_reply_error(c, k, err.text);
		return;
	}
	if (c->http.ndjson && (kind == HP_JOB_LOAD || kind == HP_JOB_UNLOAD ||
			       kind == HP_JOB_CHECK || kind == HP_JOB_RESTART))
		hp_conn_stream_begin(c);
	hp_client_job_submit(c, job);
}

static void do_body(struct hp_conn *c, enum hp_job_kind kind)
{
	struct hp_job_request req;
	struct hp_err err;
	int k = hp_json_request(&req, kind, c->http.body.v, c->http.body.n, &err);

	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	else if (kind != HP_JOB_LIST && hp_job_request_is_family(&req))
		hp_family_begin(c, &req);
	else
		run_job(c, &req);
}

/* --- routes ------------------------------------------------------------------------------------- */

/* The pid of the query, 0 when there is none.  False: answered. */
static bool query_pid(struct hp_conn *c, pid_t *ret)
{
	struct hp_err err;
	char text[32];
	int k;

	*ret = 0;
	if (!hp_http_query(&c->http, "pid", text, sizeof(text)))
		return true;
	k = hp_json_pid(text, ret, &err);
	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	return k == 0;
}

/* For what is about no one process.  False: answered. */
static bool may_see(struct hp_conn *c)
{
	struct hp_err err;
	int k = hp_access_general(&c->d->access, &c->peer, HP_RIGHT_SEE, &err);

	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	return k == 0;
}

static void get_health(struct hp_conn *c)
{
	hp_conn_reply(c, 200, json_pack("{s:i,s:b,s:s,s:i}", "schema", 1, "ok", 1, "version",
					HP_VERSION, "pid", (int)getpid()));
}

struct status_wait {
	struct hp_conn *c; /* NULL: it left */
	pid_t pid;
};

static void status_gone(struct hp_conn *c)
{
	((struct status_wait *)c->owner)->c = NULL;
}

static void guard_looked(void *arg)
{
	struct status_wait *w = arg;

	if (w->c) {
		w->c->gone = NULL;
		hp_conn_reply(w->c, 200, hp_status(w->c->d, w->pid));
	}
	free(w);
}

/* As of now: the guard looks first. */
static void get_status(struct hp_conn *c)
{
	struct status_wait *w;
	pid_t pid;

	if (!may_see(c) || !query_pid(c, &pid))
		return;
	w = malloc(sizeof(*w));
	if (!w) {
		hp_conn_reply_error(c, -ENOMEM, "no memory for a status");
		return;
	}
	*w = (struct status_wait){c, pid};
	c->owner = w;
	c->gone = status_gone;
	hp_guard_round(c->d, pid, guard_looked, w);
}

static void get_metrics(struct hp_conn *c)
{
	struct hp_buf text = {0};

	if (!may_see(c))
		return;
	if (hp_metrics_write(c->d, &text) < 0)
		hp_conn_no_memory(c);
	else
		hp_conn_reply_text(c, HP_METRICS_TYPE, &text);
	hp_buf_free(&text);
}

static void get_patches(struct hp_conn *c)
{
	struct hp_job_request req = {.kind = HP_JOB_LIST};

	if (query_pid(c, &req.pid))
		run_job(c, &req);
}

static void get_doctor(struct hp_conn *c)
{
	struct hp_job_request req = {.kind = HP_JOB_DOCTOR};

	if (may_see(c))
		run_job(c, &req);
}

static void get_events(struct hp_conn *c)
{
	pid_t pid;

	if (may_see(c) && query_pid(c, &pid))
		hp_events_watch(c, pid, false);
}

static void post_load(struct hp_conn *c)
{
	do_body(c, HP_JOB_LOAD);
}

static void post_check(struct hp_conn *c)
{
	do_body(c, HP_JOB_CHECK);
}

static void post_unload(struct hp_conn *c)
{
	do_body(c, HP_JOB_UNLOAD);
}

static void post_list(struct hp_conn *c)
{
	do_body(c, HP_JOB_LIST);
}

static void post_explain(struct hp_conn *c)
{
	do_body(c, HP_JOB_EXPLAIN);
}

/* What changes a process waits for its turn, but for a second restart: what it was asked for is not
 * there any more when its turn comes. */
static void post_restart(struct hp_conn *c)
{
	struct hp_job_request req;
	struct hp_subject *s;
	struct hp_err err;
	int k = hp_json_request(&req, HP_JOB_RESTART, c->http.body.v, c->http.body.n, &err);

	if (k < 0) {
		hp_conn_reply_error(c, k, err.text);
		return;
	}
	s = hp_subject_find(c->d, req.pid);
	if (!s || !hp_subject_has(s, HP_JOB_RESTART)) {
		run_job(c, &req);
		return;
	}
	(void)hp_err_set(&err, -HP_E_BUSY, "process %d is being restarted already", (int)req.pid);
	hp_job_request_free(&req);
	hp_conn_reply_error(c, err.code, err.text);
}

static void post_watch(struct hp_conn *c)
{
	struct hp_job_request req;
	struct hp_err err;
	pid_t pid;
	int k;

	if (!may_see(c))
		return;
	k = hp_json_request(&req, HP_JOB_WATCH, c->http.body.v, c->http.body.n, &err);
	if (k < 0) {
		hp_conn_reply_error(c, k, err.text);
		return;
	}
	pid = req.pid;
	hp_job_request_free(&req);
	if (c->d->watch)
		hp_events_watch(c, pid, true);
	else
		hp_conn_reply_error(c, -HP_E_DENIED, c->d->watch_why);
}

static const struct route {
	const char *method, *path;
	void (*handle)(struct hp_conn *c);
} routes[] = {
	{"GET", "/hp/v2/health", get_health},	 {"GET", "/hp/v2/status", get_status},
	{"GET", "/hp/v2/patches", get_patches},	 {"GET", "/hp/v2/doctor", get_doctor},
	{"GET", "/hp/v2/events", get_events},	 {"POST", "/hp/v2/load", post_load},
	{"POST", "/hp/v2/check", post_check},	 {"POST", "/hp/v2/unload", post_unload},
	{"POST", "/hp/v2/explain", post_explain}, {"POST", "/hp/v2/watch", post_watch},
	{"POST", "/hp/v2/list", post_list},	 {"POST", "/hp/v2/restart", post_restart},
	{"POST", "/hp/v2/serve", hp_serve_post}, {"POST", "/hp/v2/unserve", hp_serve_post_end},
	{"GET", "/hp/v2/served", hp_serve_get}, {"GET", "/hp/v2/metrics", get_metrics},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	return NULL;
}

const char *hp_api_allowed(const char *path)
{
	const struct route *r = find_route(path);

	return r ? r->method : NULL;
}

static void handle(struct hp_conn *c)
{
	const struct route *r = find_route(c->http.path);
	struct hp_err err;
	int k = hp_access_peer(&c->d->access, &c->peer, &err);
	char text[256];

	hp_metrics_add(c->d, HP_COUNT_REQUESTS, 1);
	if (k < 0) {
		hp_log(HP_LOG_WARNING, "%s: %s", c->peer.name, err.text);
		c->http.keep_alive = false;
		hp_conn_reply_error(c, k, err.text);
	} else if (!r) {
		snprintf(text, sizeof(text), "there is no %.150s", c->http.path);
		hp_conn_reply(c, 404, hp_json_error(-HP_E_BAD_REQUEST, text));
	} else if (strcmp(r->method, c->http.method) != 0) {
		snprintf(text, sizeof(text), "%s takes %s, not %.20s", r->path, r->method,
			 c->http.method);
		hp_conn_reply(c, 405, hp_json_error(-HP_E_BAD_REQUEST, text));
	} else if (c->d->stopping) {
		hp_conn_reply_error(c, -HP_E_UNREACHABLE, "hpd is about to end");
	} else {
		r->handle(c);
	}
}

const struct hp_face hp_api_face = {.handle = handle, .refuse = hp_conn_refuse};
