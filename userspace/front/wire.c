/* SPDX-License-Identifier: MIT */
#include "front/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "front/frontend.h"
#include "hp/err.h"
#include "ipc/record.h"
#include "ipc/request.h"

static const struct hp_wire_voice *voice_of(const struct hp_conn *c)
{
	return c->tongue ? &hp_wire_rpc_voice : &hp_wire_http_voice;
}

static void fail(struct hp_conn *c, enum hp_job_kind kind, const char *text)
{
	if (kind == HP_JOB_UNLOAD)
		voice_of(c)->unloaded(c, text);
	else
		voice_of(c)->failed(c, text);
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* --- lists --------------------------------------------------------------------------------------- */

static int take_pairs(const json_t *patch, const char *name, struct hp_pairs *ret)
{
	json_t *map = json_object_get(json_object_get(patch, "config"), name), *value;
	const char *key;
	int k = 0;

	json_object_foreach (map, key, value) {
		k = hp_pairs_add(ret, key, json_string_value(value) ?: "");
		if (k < 0)
			break;
	}
	return k;
}

/* What is half-way in or out, or only kept because of pointers, is not loaded. */
static bool is_loaded(const json_t *patch)
{
	const char *state = text_of(patch, "state");

	return !strcmp(state, "active") || !strcmp(state, "superseded");
}

static void tell_list(struct hp_conn *c, const json_t *patches)
{
	HP_ARRAY(struct hp_hotgo_patch) list = {0};
	size_t i;
	json_t *p;
	int k = 0;

	json_array_foreach (patches, i, p) {
		struct hp_hotgo_patch *to = is_loaded(p) ? HP_ARRAY_ADD(&list) : NULL;

		if (!is_loaded(p))
			continue;
		if (!to) {
			k = -ENOMEM;
			break;
		}
		*to = (struct hp_hotgo_patch){.id = text_of(p, "hp_id"),
					      .config.file = strdup(text_of(p, "file"))};
		if (!to->config.file || take_pairs(p, "replace", &to->config.replace) < 0 ||
		    take_pairs(p, "ref", &to->config.ref) < 0) {
			k = -ENOMEM;
			break;
		}
	}
	if (k == 0)
		voice_of(c)->listed(c, list.v, list.n);
	else
		hp_conn_no_memory(c);
	for (i = 0; i < list.n; i++)
		hp_hotgo_config_clear(&list.v[i].config);
	HP_ARRAY_FREE(&list);
}

/* --- answers ---------------------------------------------------------------------------------------- */

/* It is out, but one of its hooks says that something is wrong. */
static const char *unload_error(const json_t *result)
{
	return json_is_true(json_object_get(result, "retained")) ? "" : text_of(result, "detail");
}

static void tell_job(struct hp_conn *c, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const json_t *result = json_object_get(answer, "result");
	enum hp_job_kind kind = (enum hp_job_kind)c->asked_for;
	char text[HP_ERR_TEXT_MAX];

	if (error) {
		hp_hotgo_error(text, sizeof(text), text_of(error, "code"), text_of(error, "text"),
			       c->file);
		fail(c, kind, text);
	} else if (kind == HP_JOB_LOAD) {
		voice_of(c)->loaded(c, text_of(result, "hp_id"));
	} else if (kind == HP_JOB_UNLOAD) {
		hp_hotgo_error(text, sizeof(text), hp_err_name(-HP_E_HOOK), unload_error(result),
			       NULL);
		voice_of(c)->unloaded(c, text);
	} else {
		tell_list(c, json_object_get(result, "patches"));
	}
}

void hp_wire_told(struct hp_conn *c, const struct hp_tell_head *head, const char *text, size_t n)
{
	json_t *answer = json_loadb(text, n, 0, NULL);

	if (!answer)
		hp_conn_no_memory(c);
	else if (head->status && !c->tongue)
		hp_wire_http_denied(c, (int)head->status,
				    text_of(json_object_get(answer, "error"), "text"));
	else if (head->status)
		hp_conn_close(c); /* it was allowed before: its process has another owner, say */
	else if (c->asked_for == HP_WIRE_ALLOW && head->code == 0)
		hp_wire_rpc_begin(c);
	else if (head->code == -HP_E_UNREACHABLE && !c->tongue)
		hp_wire_http_denied(c, 503, text_of(json_object_get(answer, "error"), "text"));
	else
		tell_job(c, answer);
	json_decref(answer);
}

/* --- questions ----------------------------------------------------------------------------------- */

/* The header comes with each HTTP request, and once for all calls after CONNECT. */
static void ask(struct hp_conn *c, int what, struct hp_job_request *r)
{
	struct hp_record rec = {.ask = HP_ASK_ALLOW,
				.flags = !c->tongue && c->http.origin ? HP_FLAG_ORIGIN : 0};
	struct hp_err err;

	if (!c->tongue)
		snprintf(c->bearer, sizeof(c->bearer), "%s", c->http.bearer);
	snprintf(rec.token, sizeof(rec.token), "%s", c->bearer);
	c->asked_for = what;
	free(c->file);
	c->file = r && r->load.file ? strdup(r->load.file) : NULL;
	if (r) /* what the listener has */
		r->load.timeout_ns = r->unload.timeout_ns = r->load.park_ns = r->unload.park_ns = 0;
	if (hp_monitor_ask(c, &rec, r, &err) < 0)
		fail(c, (enum hp_job_kind)what, err.text);
}

void hp_wire_allow(struct hp_conn *c)
{
	ask(c, HP_WIRE_ALLOW, NULL);
}

void hp_wire_load(struct hp_conn *c, struct hp_hotgo_config *config)
{
	struct hp_job_request r;
	char text[HP_ERR_TEXT_MAX];
	json_t *utf8 = json_string(config->file);

	hp_job_request_init(&r, HP_JOB_LOAD);
	r.load.replace = config->replace;
	r.load.ref = config->ref;
	config->replace = config->ref = (struct hp_pairs){0};
	if (!utf8 || !*config->file) {
		/* No UTF-8 is what has a NUL in it (hotgo/json.h). */
		snprintf(text, sizeof(text), "open %s: %s", config->file,
			 utf8 ? "no such file or directory" : "invalid argument");
		fail(c, HP_JOB_LOAD, text);
	} else if (hp_job_request_keep(&r, config->file, &r.load.file) < 0) {
		hp_conn_no_memory(c);
	} else {
		ask(c, HP_JOB_LOAD, &r);
	}
	json_decref(utf8);
	hp_hotgo_config_clear(config);
	hp_job_request_free(&r);
}

void hp_wire_unload(struct hp_conn *c, const char *id)
{
	struct hp_job_request r;
	char text[HP_ERR_TEXT_MAX];

	/* Prefixes are hpctl's. */
	if (!hp_hotgo_is_id(id)) {
		snprintf(text, sizeof(text), "patch %s not loaded", id);
		fail(c, HP_JOB_UNLOAD, text);
		return;
	}
	hp_job_request_init(&r, HP_JOB_UNLOAD);
	r.unload.id = id; /* which outlives it */
	ask(c, HP_JOB_UNLOAD, &r);
	hp_job_request_free(&r);
}

void hp_wire_info(struct hp_conn *c)
{
	struct hp_job_request r;

	hp_job_request_init(&r, HP_JOB_LIST);
	ask(c, HP_JOB_LIST, &r);
	hp_job_request_free(&r);
}
