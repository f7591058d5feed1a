/* SPDX-License-Identifier: MIT */
#include "daemon/serve_api.h"

#include "base/clock.h"
#include "daemon/access.h"
#include "daemon/daemon.h"
#include "daemon/serve.h"
#include "hp/err.h"
#include "patch/ops.h"

#define SPAN_MAX_MS 3600000.0

/* The body's members by json_unpack(3); what is unknown is refused by name.  False: answered. */
#define READ(c, doc, ...)                                                                          \
	({                                                                                         \
		json_error_t at_;                                                                  \
		(doc) = json_loadb((c)->http.body.v ?: "", (c)->http.body.n,                       \
				   JSON_REJECT_DUPLICATES, &at_);                                  \
		bool good_ = (doc) && json_unpack_ex(doc, &at_, JSON_STRICT, __VA_ARGS__) == 0;    \
		if (!good_)                                                                        \
			bad_body(c, at_.text);                                                     \
		good_;                                                                             \
	})

static void bad_body(struct hp_conn *c, const char *why)
{
	struct hp_err err;

	(void)hp_err_set(&err, -HP_E_BAD_REQUEST, "the request's body: %s", why);
	hp_conn_reply_error(c, err.code, err.text);
}

/* A listener is nobody's process: who has the right on some only has no say.  False: answered. */
static bool may(struct hp_conn *c, enum hp_right right)
{
	struct hp_err err;
	int k = hp_access_general(&c->d->access, &c->peer, right, &err);

	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	return k == 0;
}

static bool is_span(double ms)
{
	return ms > 0 && ms <= SPAN_MAX_MS;
}

void hp_serve_post(struct hp_conn *c)
{
	double timeout_ms = HP_DEFAULT_TIMEOUT_NS / (double)HP_MS;
	double park_ms = HP_DEFAULT_PARK_NS / (double)HP_MS;
	struct hp_serve_request req = {.by = &c->peer};
	struct hp_listener *l;
	struct hp_err err;
	int pid = 0, remote = 0, k;
	json_t *doc;

	if (!may(c, HP_RIGHT_LOAD))
		return;
	if (!READ(c, doc, "{s:i,s:s,s?s,s?b,s?F,s?F}", "pid", &pid, "http", &req.addr, "token",
		  &req.token, "allow_remote", &remote, "timeout_ms", &timeout_ms, "park_ms",
		  &park_ms)) {
		json_decref(doc);
		return;
	}
	req.pid = pid;
	req.allow_remote = remote;
	req.timeout_ns = (uint64_t)(timeout_ms * (double)HP_MS);
	req.park_ns = (uint64_t)(park_ms * (double)HP_MS);
	if (pid <= 0 || !is_span(timeout_ms) || !is_span(park_ms))
		k = hp_err_set(&err, -HP_E_BAD_REQUEST,
			       "\"pid\" must be a process id, times above 0 and at most an hour");
	else
		k = hp_serve_begin(c->d, &req, &l, &err);
	json_decref(doc);
	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	else
		hp_conn_reply(c, 200, json_pack("{s:i,s:o}", "schema", 1, "listener",
						hp_serve_describe(l)));
}

void hp_serve_post_end(struct hp_conn *c)
{
	const char *addr;
	struct hp_err err;
	json_t *doc;
	int k;

	if (!may(c, HP_RIGHT_LOAD))
		return;
	if (!READ(c, doc, "{s:s}", "http", &addr)) {
		json_decref(doc);
		return;
	}
	k = hp_serve_end(c->d, addr, &err);
	json_decref(doc);
	if (k < 0)
		hp_conn_reply_error(c, k, err.text);
	else
		hp_conn_reply(c, 200, json_pack("{s:i}", "schema", 1));
}

void hp_serve_get(struct hp_conn *c)
{
	const struct hp_listener *l;
	json_t *list;

	if (!may(c, HP_RIGHT_SEE))
		return;
	list = json_array();
	TAILQ_FOREACH(l, &c->d->listeners, link)
		if (!l->closing && json_array_append_new(list, hp_serve_describe(l)) < 0)
			break;
	hp_conn_reply(c, 200, json_pack("{s:i,s:o}", "schema", 1, "listeners", list));
}
