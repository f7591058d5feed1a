/* SPDX-License-Identifier: MIT */
#include "front/api.h"

#include <stdio.h>
#include <string.h>

#include "front/frontend.h"
#include "front/json_in.h"
#include "front/reply.h"
#include "hp/err.h"
#include "ipc/record.h"
#include "ipc/request.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* @r is taken. */
static void ask_job(struct hp_conn *c, struct hp_job_request *r)
{
	bool lines = r->kind == HP_JOB_LOAD || r->kind == HP_JOB_UNLOAD || r->kind == HP_JOB_CHECK ||
		     r->kind == HP_JOB_RESTART;
	struct hp_record rec = {.flags = lines && c->http.ndjson ? HP_FLAG_NDJSON : 0};
	struct hp_err err;
	int k = hp_monitor_ask(c, &rec, r, &err);

	hp_job_request_free(r);
	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
}

static void ask(struct hp_conn *c, enum hp_ask what, pid_t pid)
{
	struct hp_record rec = {.ask = what, .pid = pid};

	(void)hp_monitor_ask(c, &rec, NULL, NULL); /* there is nothing in it to be refused */
}

static void ask_body(struct hp_conn *c, enum hp_job_kind kind)
{
	struct hp_job_request r;
	struct hp_err err;
	int k = hp_json_request(&r, kind, c->http.body.v, c->http.body.n, &err);

	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	else
		ask_job(c, &r);
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

static void get_health(struct hp_conn *c)
{
	ask(c, HP_ASK_HEALTH, 0);
}

static void get_status(struct hp_conn *c)
{
	pid_t pid;

	if (query_pid(c, &pid))
		ask(c, HP_ASK_STATUS, pid);
}

static void get_metrics(struct hp_conn *c)
{
	ask(c, HP_ASK_METRICS, 0);
}

static void get_patches(struct hp_conn *c)
{
	struct hp_job_request r;

	hp_job_request_init(&r, HP_JOB_LIST);
	if (query_pid(c, &r.pid))
		ask_job(c, &r);
}

static void get_doctor(struct hp_conn *c)
{
	struct hp_job_request r;

	hp_job_request_init(&r, HP_JOB_DOCTOR);
	ask_job(c, &r);
}

static void get_events(struct hp_conn *c)
{
	pid_t pid;

	if (query_pid(c, &pid))
		ask(c, HP_ASK_EVENTS, pid);
}

static void post_load(struct hp_conn *c)
{
	ask_body(c, HP_JOB_LOAD);
}

static void post_check(struct hp_conn *c)
{
	ask_body(c, HP_JOB_CHECK);
}

static void post_unload(struct hp_conn *c)
{
	ask_body(c, HP_JOB_UNLOAD);
}

static void post_list(struct hp_conn *c)
{
	ask_body(c, HP_JOB_LIST);
}

static void post_explain(struct hp_conn *c)
{
	ask_body(c, HP_JOB_EXPLAIN);
}

static void post_restart(struct hp_conn *c)
{
	ask_body(c, HP_JOB_RESTART);
}

static void post_watch(struct hp_conn *c)
{
	struct hp_job_request r;
	struct hp_err err;
	int k = hp_json_request(&r, HP_JOB_WATCH, c->http.body.v, c->http.body.n, &err);

	if (k < 0) {
		hp_conn_reply_error(c, k, err.text);
		return;
	}
	ask(c, HP_ASK_WATCH, r.pid);
	hp_job_request_free(&r);
}

static void ask_read(struct hp_conn *c, int (*read)(struct hp_record *ret, const char *body, size_t n,
						    struct hp_err *err))
{
	struct hp_record rec = {0};
	struct hp_err err;
	int k = read(&rec, c->http.body.v, c->http.body.n, &err);

	if (k == 0)
		k = hp_monitor_ask(c, &rec, NULL, &err);
	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
}

static void post_serve(struct hp_conn *c)
{
	ask_read(c, hp_json_serve);
}

static void post_unserve(struct hp_conn *c)
{
	ask_read(c, hp_json_unserve);
}

static void get_served(struct hp_conn *c)
{
	ask(c, HP_ASK_SERVED, 0);
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
	{"POST", "/hp/v2/serve", post_serve},	 {"POST", "/hp/v2/unserve", post_unserve},
	{"GET", "/hp/v2/served", get_served},	 {"GET", "/hp/v2/metrics", get_metrics},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	return NULL;
}

static void handle(struct hp_conn *c)
{
	const struct route *r = find_route(c->http.path);
	char text[256];

	if (!r) {
		snprintf(text, sizeof(text), "there is no %.150s", c->http.path);
		hp_conn_refuse(c, 404, text);
	} else if (strcmp(r->method, c->http.method) != 0) {
		snprintf(text, sizeof(text), "%s takes %s, not %.20s", r->path, r->method,
			 c->http.method);
		hp_conn_refuse_method(c, r->method, text);
	} else {
		r->handle(c);
	}
}

static void answer(struct hp_conn *c, const struct hp_tell_head *head, const char *text, size_t n)
{
	if (head->tell == HP_TELL_STREAM)
		hp_conn_stream_begin(c);
	else if (head->tell == HP_TELL_LINE)
		hp_conn_stream_line(c, text, n);
	else if (head->tell == HP_TELL_LAST)
		hp_conn_stream_end(c, text, n);
	else if (n)
		hp_conn_reply(c, head->status ? (int)head->status : hp_reply_status(head->code),
			      head->flags & HP_TELL_METRICS ? METRICS_TYPE : HP_TYPE_JSON, text, n);
	else
		hp_conn_close(c); /* the monitor had no memory for it */
}

const struct hp_face hp_api_face = {.handle = handle, .refuse = hp_conn_refuse, .answer = answer};
