/* SPDX-License-Identifier: MIT */
#include "front/json_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/fields.h"
#include "hp/err.h"
#include "ipc/record.h"
#include "ipc/tcp.h"

static bool selects(enum hp_job_kind kind)
{
	return kind == HP_JOB_LOAD || kind == HP_JOB_CHECK || kind == HP_JOB_UNLOAD ||
	       kind == HP_JOB_LIST;
}

/* Said before anything else: of all that may be missing it is the first. */
static int need_selector(const struct hp_job_request *r, const json_t *doc, struct hp_err *err)
{
	static const char *const ways[] = {"pid", "pids", "exe", "all"};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (json_object_get(doc, ways[i]))
			return 0;
	if (r->kind == HP_JOB_LIST)
		return 0; /* of all */
	return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"pid\" is missing");
}

/* One process, or a selector: not both. */
static int check_selector(struct hp_job_request *r, struct hp_err *err)
{
	unsigned ways = (r->pid != 0) + (r->sel.n_pids != 0) + (r->sel.exe != NULL) + r->sel.all;

	if (ways > 1 || (!ways && r->kind != HP_JOB_LIST))
		return hp_err_set(err, -HP_E_BAD_REQUEST,
				  "one of the fields \"pid\", \"pids\", \"exe\", \"all\" must "
				  "say which processes are meant");
	if (r->sel.children && !r->pid && !r->sel.n_pids)
		return hp_err_set(err, -HP_E_BAD_REQUEST,
				  "field \"children\" goes with \"pid\" or \"pids\"");
	if (r->pid && r->sel.children) {
		r->pids = calloc(1, sizeof(*r->pids));
		if (!r->pids)
			return hp_err_sys(err, ENOMEM, "request");
		r->pids[0] = r->pid;
		r->sel.n_pids = 1;
		r->pid = 0;
	}
	r->sel.pids = r->pids;
	if (hp_job_request_is_family(r) && (r->kind == HP_JOB_CHECK || r->dry_run))
		return hp_err_set(err, -HP_E_BAD_REQUEST,
				  "a check is of one process: field \"pid\" is needed");
	return 0;
}

static int read_kind(struct hp_job_request *r, json_t *doc, struct hp_err *err)
{
	static const char *const modes[] = {
		[HP_MODE_QUIESCE] = "quiesce", [HP_MODE_RELAXED] = "relaxed", NULL};
	static const char *const ways[] = {[HP_QUIESCE_AUTO] = "auto",
					   [HP_QUIESCE_WATCH] = "watch",
					   [HP_QUIESCE_GATE] = "gate",
					   NULL};
	static const char *const readies[] = {
		[HP_READY_AUTO] = "auto", [HP_READY_NOTIFY] = "notify", NULL};
	static const char *const envs[] = {
		[HP_RESTART_ENV_KEEP] = "keep", [HP_RESTART_ENV_EMPTY] = "empty", NULL};
	struct hp_load_request *l = &r->load;
	struct hp_unload_request *u = &r->unload;
	struct hp_restart_request *n = &r->restart;
	const char *drain = NULL;
	int k;
/* clang-format off */
#define SELECTOR                                                                    \
		{"pid", HP_FIELD_PID, &r->pid, false, NULL},                        \
		{"pids", HP_FIELD_PIDS, NULL, false, NULL},                         \
		{"children", HP_FIELD_FLAG, &r->sel.children, false, NULL},         \
		{"exe", HP_FIELD_PATH, &r->sel.exe, false, NULL},                   \
		{"all", HP_FIELD_FLAG, &r->sel.all, false, NULL}
	/* clang-format on */
	const struct hp_field load[] = {
		SELECTOR,
		{"all_or_nothing", HP_FIELD_FLAG, &r->all_or_nothing, false, NULL},
		{"hp_id", HP_FIELD_TEXT, &l->id, false, NULL},
		{"file", HP_FIELD_PATH, &l->file, true, NULL},
		{"replace", HP_FIELD_PAIRS, &l->replace, false, NULL},
		{"ref", HP_FIELD_PAIRS, &l->ref, false, NULL},
		{"mode", HP_FIELD_CHOICE, &l->mode, false, modes},
		{"quiesce", HP_FIELD_CHOICE, &l->quiesce, false, ways},
		{"timeout_ms", HP_FIELD_SPAN, &l->timeout_ns, false, NULL},
		{"park_ms", HP_FIELD_SPAN, &l->park_ns, false, NULL},
		{"no_stop", HP_FIELD_FLAG, &l->no_stop, false, NULL},
		{"dry_run", HP_FIELD_FLAG, &r->dry_run, false, NULL},
	};
	const struct hp_field unload[] = {
		SELECTOR,
		{"id", HP_FIELD_TEXT, &u->id, true, NULL},
		{"quiesce", HP_FIELD_CHOICE, &u->quiesce, false, ways},
		{"timeout_ms", HP_FIELD_SPAN, &u->timeout_ns, false, NULL},
		{"park_ms", HP_FIELD_SPAN, &u->park_ns, false, NULL},
		{"discard", HP_FIELD_FLAG, &u->discard, false, NULL},
	};
	const struct hp_field list[] = {SELECTOR};
#undef SELECTOR
	const struct hp_field explain[] = {
		{"pid", HP_FIELD_PID, &r->pid, true, NULL},
		{"functions", HP_FIELD_TEXTS, NULL, true, NULL},
	};
	const struct hp_field watch[] = {
		{"pid", HP_FIELD_PID, &r->pid, true, NULL},
	};
	const struct hp_field restart[] = {
		{"pid", HP_FIELD_PID, &r->pid, true, NULL},
		{"command", HP_FIELD_WORDS, NULL, false, NULL},
		{"drain", HP_FIELD_TEXT, &drain, false, NULL},
		{"ready", HP_FIELD_CHOICE, &n->ready, false, readies},
		{"ready_timeout_ms", HP_FIELD_SPAN, &n->ready_ns, false, NULL},
		{"drain_timeout_ms", HP_FIELD_SPAN, &n->drain_ns, false, NULL},
		{"env", HP_FIELD_CHOICE, &n->env, false, envs},
		{"set", HP_FIELD_PAIRS, &n->set, false, NULL},
		{"pidfile", HP_FIELD_PATH, &n->pidfile, false, NULL},
		{"user", HP_FIELD_TEXT, &n->user, false, NULL},
		{"allow_new_binds", HP_FIELD_FLAG, &n->allow_new_binds, false, NULL},
		{"no_residue", HP_FIELD_FLAG, &n->no_residue, false, NULL},
		{"wait", HP_FIELD_FLAG, &r->wait, false, NULL},
	};

	/* The enums are read as ints. */
	_Static_assert(sizeof(enum hp_mode) == sizeof(int), "enum hp_mode");
	_Static_assert(sizeof(enum hp_quiesce) == sizeof(int), "enum hp_quiesce");
	_Static_assert(sizeof(enum hp_restart_ready) == sizeof(int), "enum hp_restart_ready");
	_Static_assert(sizeof(enum hp_restart_env) == sizeof(int), "enum hp_restart_env");
	switch (r->kind) {
	case HP_JOB_LOAD:
	case HP_JOB_CHECK:
		return hp_fields_read(r, doc, load, sizeof(load) / sizeof(load[0]), err);
	case HP_JOB_UNLOAD:
		return hp_fields_read(r, doc, unload, sizeof(unload) / sizeof(unload[0]), err);
	case HP_JOB_EXPLAIN:
		return hp_fields_read(r, doc, explain, sizeof(explain) / sizeof(explain[0]), err);
	case HP_JOB_WATCH:
		return hp_fields_read(r, doc, watch, sizeof(watch) / sizeof(watch[0]), err);
	case HP_JOB_RESTART:
		k = hp_fields_read(r, doc, restart, sizeof(restart) / sizeof(restart[0]), err);
		if (k == 0 && drain && !hp_drain_parse(drain, &n->drain, &n->drain_signal))
			k = hp_err_set(err, -HP_E_BAD_REQUEST,
				       "field \"drain\" must be \"external\" or \"graceful\", with "
				       "\":\" and the name of a signal behind it or not");
		return k;
	case HP_JOB_LIST:
		return hp_fields_read(r, doc, list, sizeof(list) / sizeof(list[0]), err);
	case HP_JOB_RECOVER:
	case HP_JOB_DOCTOR:
	case HP_JOB_SELECT:
	case HP_JOB_GUARD:
	case HP_JOB_KINDS:
		break; /* come without a body */
	}
	return -EINVAL;
}

static int read_request(struct hp_job_request *ret, enum hp_job_kind kind, json_t *doc,
			struct hp_err *err)
{
	struct hp_job_request r;
	int k = 0;

	hp_job_request_init(&r, kind);
	if (selects(kind))
		k = need_selector(&r, doc, err);
	if (k == 0)
		k = read_kind(&r, doc, err);
	if (k == 0 && selects(kind))
		k = check_selector(&r, err);
	if (k < 0) {
		hp_job_request_free(&r);
		return k;
	}
	hp_job_request_settle(&r);
	if (r.kind == HP_JOB_LOAD && r.dry_run)
		r.kind = HP_JOB_CHECK;
	*ret = r;
	return 0;
}

static int read_body(json_t **ret, const char *body, size_t n, struct hp_err *err)
{
	json_error_t at;
	json_t *doc;

	if (!n)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "the request has no body");
	doc = json_loadb(body, n, JSON_REJECT_DUPLICATES, &at);
	if (!doc)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "malformed JSON, line %d column %d: %s",
				  at.line, at.column, at.text);
	if (!json_is_object(doc)) {
		json_decref(doc);
		return hp_err_set(err, -HP_E_BAD_REQUEST, "the body must be a JSON object");
	}
	*ret = doc;
	return 0;
}

int hp_json_request(struct hp_job_request *ret, enum hp_job_kind kind, const char *body, size_t n,
		    struct hp_err *err)
{
	json_t *doc;
	int k = read_body(&doc, body, n, err);

	if (k < 0)
		return k;
	k = read_request(ret, kind, doc, err);
	json_decref(doc);
	return k;
}

static int read_serve(struct hp_record *ret, json_t *doc, struct hp_err *err)
{
	struct hp_job_request r;
	struct sockaddr_storage addr;
	const char *http = NULL, *token = NULL;
	bool remote = false;
	const struct hp_field serve[] = {
		{"pid", HP_FIELD_PID, &r.pid, true, NULL},
		{"http", HP_FIELD_TEXT, &http, true, NULL},
		{"token", HP_FIELD_TEXT, &token, false, NULL},
		{"allow_remote", HP_FIELD_FLAG, &remote, false, NULL},
		{"timeout_ms", HP_FIELD_SPAN, &r.load.timeout_ns, false, NULL},
		{"park_ms", HP_FIELD_SPAN, &r.load.park_ns, false, NULL},
	};
	int k;

	hp_job_request_init(&r, HP_JOB_LOAD);
	k = hp_fields_read(&r, doc, serve, sizeof(serve) / sizeof(serve[0]), err);
	if (k == 0)
		k = hp_tcp_parse(http, &addr, err);
	if (k == 0 && token && strlen(token) >= sizeof(ret->token))
		k = hp_err_set(err, -HP_E_BAD_REQUEST, "a token has at most %zu characters",
			       sizeof(ret->token) - 1);
	if (k == 0)
		k = hp_record_text(ret->token, sizeof(ret->token), "token", token, err);
	if (k == 0) {
		ret->ask = HP_ASK_SERVE;
		ret->pid = r.pid;
		ret->flags = remote ? HP_FLAG_ALLOW_REMOTE : 0;
		ret->timeout_ns = r.load.timeout_ns;
		ret->park_ns = r.load.park_ns;
		hp_tcp_put(&addr, ret);
	}
	hp_job_request_free(&r);
	return k;
}

int hp_json_serve(struct hp_record *ret, const char *body, size_t n, struct hp_err *err)
{
	json_t *doc;
	int k = read_body(&doc, body, n, err);

	if (k < 0)
		return k;
	k = read_serve(ret, doc, err);
	json_decref(doc);
	return k;
}

int hp_json_unserve(struct hp_record *ret, const char *body, size_t n, struct hp_err *err)
{
	struct hp_job_request r;
	const char *http = NULL;
	const struct hp_field unserve[] = {{"http", HP_FIELD_TEXT, &http, true, NULL}};
	json_t *doc;
	int k = read_body(&doc, body, n, err);

	if (k < 0)
		return k;
	hp_job_request_init(&r, HP_JOB_LIST);
	k = hp_fields_read(&r, doc, unserve, 1, err);
	if (k == 0)
		k = hp_record_text(ret->file, sizeof(ret->file), "http", http, err);
	ret->ask = HP_ASK_UNSERVE;
	hp_job_request_free(&r);
	json_decref(doc);
	return k;
}

int hp_json_pid(const char *text, pid_t *ret, struct hp_err *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n <= 0 || n > HP_PID_LIMIT)
		return hp_err_set(err, -HP_E_BAD_REQUEST,
				  "\"pid=%.30s\": must be a process id: a whole number above 0",
				  text);
	*ret = (pid_t)n;
	return 0;
}
