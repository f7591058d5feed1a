/* SPDX-License-Identifier: MIT */
#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "daemon/client_job.h"
#include "daemon/daemon.h"
#include "daemon/serve.h"
#include "hp/err.h"

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

/* --- jobs ---------------------------------------------------------------------------------------- */

/* It is out, but one of its hooks says that something is wrong. */
static const char *unload_error(const json_t *result)
{
	return json_is_true(json_object_get(result, "retained")) ? "" : text_of(result, "detail");
}

static void on_answer(struct hp_job *job, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const json_t *result = json_object_get(answer, "result");
	struct hp_conn *c = hp_client_job_answered(job);
	char text[HP_ERR_TEXT_MAX];

	if (!c)
		return;
	if (error) {
		hp_hotgo_error(text, sizeof(text), text_of(error, "code"), text_of(error, "text"),
			       job->req.load.file);
		fail(c, job->req.kind, text);
	} else if (job->req.kind == HP_JOB_LOAD) {
		voice_of(c)->loaded(c, text_of(result, "hp_id"));
	} else if (job->req.kind == HP_JOB_UNLOAD) {
		hp_hotgo_error(text, sizeof(text), hp_err_name(-HP_E_HOOK), unload_error(result),
			       NULL);
		voice_of(c)->unloaded(c, text);
	} else {
		tell_list(c, json_object_get(result, "patches"));
	}
}

static void run(struct hp_conn *c, struct hp_job_request *req)
{
	enum hp_job_kind kind = req->kind;
	struct hp_job *job;
	struct hp_err err;

	hp_metrics_add(c->d, HP_COUNT_WIRE, 1);
	if (hp_client_job_new(c, req, &c->from->by, NULL, on_answer, &job, &err) < 0)
		fail(c, kind, err.text);
	else
		hp_client_job_submit(c, job);
}

void hp_wire_load(struct hp_conn *c, struct hp_hotgo_config *config)
{
	struct hp_job_request req = {
		.kind = HP_JOB_LOAD,
		.pid = c->from->pid,
		.doc = json_string(config->file),
		.by_target = true,
		.load = {.pid = c->from->pid,
			 .file_fd = -1,
			 .replace = config->replace,
			 .ref = config->ref,
			 .timeout_ns = c->from->timeout_ns,
			 .park_ns = c->from->park_ns},
	};
	char text[HP_ERR_TEXT_MAX];

	config->replace = config->ref = (struct hp_pairs){0};
	if (!req.doc) {
		/* The one string that is no UTF-8: with a NUL in it (hotgo/json.h). */
		snprintf(text, sizeof(text), "open %s: invalid argument", config->file);
		hp_job_request_free(&req);
		hp_hotgo_config_clear(config);
		fail(c, HP_JOB_LOAD, text);
		return;
	}
	hp_hotgo_config_clear(config);
	req.load.file = json_string_value(req.doc);
	run(c, &req);
}

void hp_wire_unload(struct hp_conn *c, const char *id)
{
	struct hp_job_request req = {
		.kind = HP_JOB_UNLOAD,
		.pid = c->from->pid,
		.unload = {.pid = c->from->pid,
			   .timeout_ns = c->from->timeout_ns,
			   .park_ns = c->from->park_ns,
			   .active_only = true},
	};
	char text[HP_ERR_TEXT_MAX];

	/* Prefixes are hpctl's. */
	if (!hp_hotgo_is_id(id)) {
		snprintf(text, sizeof(text), "patch %s not loaded", id);
		fail(c, HP_JOB_UNLOAD, text);
		return;
	}
	req.doc = json_string(id);
	if (!req.doc) {
		hp_conn_no_memory(c);
		return;
	}
	req.unload.id = json_string_value(req.doc);
	run(c, &req);
}

void hp_wire_info(struct hp_conn *c)
{
	struct hp_job_request req = {.kind = HP_JOB_LIST, .pid = c->from->pid};

	run(c, &req);
}
