/* SPDX-License-Identifier: MIT */
/*
 * What a request may hold is a table of fields: from it come the checks, the sentence for each
 * mistake, and the refusal of fields that nobody knows (a misspelt option must not be ignored by
 * what changes a running program).
 */
#include "front/json_in.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hp/err.h"
#include "ipc/record.h"
#include "ipc/tcp.h"

#define PAIRS_MAX   1024
#define PIDS_MAX    65536
#define SPAN_MAX_MS 3600000.0
#define PID_LIMIT   (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels */

struct field {
	const char *name;
	enum { PID, PIDS, TEXT, PATH, FLAG, SPAN, CHOICE, PAIRS, TEXTS, WORDS } type;
	void *to;
	bool needed;
	const char *const *choices; /* CHOICE: NULL at the end; the index is stored */
};

static int wrong(struct hp_err *err, const struct field *f, const char *what)
{
	return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" must be %s", f->name, what);
}

static int get_pid(const struct field *f, const json_t *v, struct hp_err *err)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n <= 0 || n > PID_LIMIT)
		return wrong(err, f, "a process id: a whole number above 0");
	*(pid_t *)f->to = (pid_t)n;
	return 0;
}

static int get_pids(const struct field *f, const json_t *v, struct hp_job_request *r,
		    struct hp_err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n == 0 || n > PIDS_MAX)
		return wrong(err, f, "an array of 1 to 65536 process ids");
	r->pids = calloc(n, sizeof(*r->pids));
	if (!r->pids)
		return hp_err_sys(err, ENOMEM, "request");
	for (size_t i = 0; i < n; i++) {
		const struct field one = {.name = f->name, .to = &r->pids[i]};

		if (get_pid(&one, json_array_get(v, i), NULL) < 0)
			return wrong(err, f, "an array of process ids: whole numbers above 0");
	}
	r->sel.n_pids = n;
	return 0;
}

static int get_text(const struct field *f, const json_t *v, struct hp_job_request *r,
		    struct hp_err *err)
{
	const char *s = json_string_value(v);

	if (!s || !*s)
		return wrong(err, f, "a string, not empty");
	if (f->type == PATH && *s != '/')
		return wrong(err, f, "an absolute path");
	if (hp_job_request_keep(r, s, f->to) < 0)
		return hp_err_sys(err, ENOMEM, "request");
	return 0;
}

static int get_flag(const struct field *f, const json_t *v, struct hp_err *err)
{
	if (!json_is_boolean(v))
		return wrong(err, f, "true or false");
	*(bool *)f->to = json_is_true(v);
	return 0;
}

static int get_span(const struct field *f, const json_t *v, struct hp_err *err)
{
	double ms = json_number_value(v);

	if (!json_is_number(v) || !(ms > 0) || ms > SPAN_MAX_MS)
		return wrong(err, f, "milliseconds: a number above 0 and at most 3600000");
	*(uint64_t *)f->to = (uint64_t)(ms * (double)HP_MS);
	return 0;
}

static int get_choice(const struct field *f, const json_t *v, struct hp_err *err)
{
	const char *s = json_string_value(v);
	char all[128] = "";

	for (int i = 0; f->choices[i]; i++) {
		if (s && !strcmp(s, f->choices[i])) {
			*(int *)f->to = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s\"%s\"", i ? ", " : "",
			 f->choices[i]);
	}
	return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" must be one of %s", f->name, all);
}

static int get_pairs(const struct field *f, json_t *v, struct hp_err *err)
{
	struct hp_pairs *to = f->to;
	const char *key;
	json_t *value;

	if (!json_is_object(v))
		return wrong(err, f, "an object of strings");
	if (json_object_size(v) > PAIRS_MAX)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" has more than %d members",
				  f->name, PAIRS_MAX);
	json_object_foreach (v, key, value) {
		const char *s = json_string_value(value);

		if (!*key || !s || !*s)
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": member \"%.100s\" must be a string, and "
					  "neither may be empty",
					  f->name, key);
		if (hp_pairs_add(to, key, s) < 0)
			return hp_err_sys(err, ENOMEM, "request");
	}
	return 0;
}

static int get_texts(const struct field *f, const json_t *v, struct hp_job_request *r,
		     struct hp_err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n == 0 || n > PAIRS_MAX)
		return wrong(err, f, "an array of 1 to 1024 strings");
	r->fns = calloc(n, sizeof(*r->fns));
	if (!r->fns)
		return hp_err_sys(err, ENOMEM, "request");
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(v, i));

		/* An argument of a command may be empty, its name may not. */
		if (!s || (!*s && (f->type == TEXTS || i == 0)))
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": element %zu must be a string, not empty",
					  f->name, i);
		if (hp_job_request_keep(r, s, &r->fns[i]) < 0)
			return hp_err_sys(err, ENOMEM, "request");
	}
	r->n_fns = n;
	return 0;
}

static int get(const struct field *f, json_t *v, struct hp_job_request *r, struct hp_err *err)
{
	switch (f->type) {
	case PID:
		return get_pid(f, v, err);
	case PIDS:
		return get_pids(f, v, r, err);
	case TEXT:
	case PATH:
		return get_text(f, v, r, err);
	case FLAG:
		return get_flag(f, v, err);
	case SPAN:
		return get_span(f, v, err);
	case CHOICE:
		return get_choice(f, v, err);
	case PAIRS:
		return get_pairs(f, v, err);
	case TEXTS:
	case WORDS:
		return get_texts(f, v, r, err);
	}
	return -EINVAL;
}

static int read_fields(struct hp_job_request *r, json_t *doc, const struct field *fields, size_t n,
		       struct hp_err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach (doc, key, value) {
		size_t i = 0;

		while (i < n && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == n)
			return hp_err_set(err, -HP_E_BAD_REQUEST, "unknown field \"%.100s\"", key);
	}
	for (size_t i = 0; i < n; i++) {
		int k = 0;

		value = json_object_get(doc, fields[i].name);
		if (value)
			k = get(&fields[i], value, r, err);
		else if (fields[i].needed)
			k = hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" is missing",
				       fields[i].name);
		if (k < 0)
			return k;
	}
	return 0;
}

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
#define SELECTOR                                                                                   \
		{"pid", PID, &r->pid, false, NULL},                                                \
		{"pids", PIDS, NULL, false, NULL},                                                 \
		{"children", FLAG, &r->sel.children, false, NULL},                                 \
		{"exe", PATH, &r->sel.exe, false, NULL},                                           \
		{"all", FLAG, &r->sel.all, false, NULL}
	/* clang-format on */
	const struct field load[] = {
		SELECTOR,
		{"all_or_nothing", FLAG, &r->all_or_nothing, false, NULL},
		{"hp_id", TEXT, &l->id, false, NULL},
		{"file", PATH, &l->file, true, NULL},
		{"replace", PAIRS, &l->replace, false, NULL},
		{"ref", PAIRS, &l->ref, false, NULL},
		{"mode", CHOICE, &l->mode, false, modes},
		{"quiesce", CHOICE, &l->quiesce, false, ways},
		{"timeout_ms", SPAN, &l->timeout_ns, false, NULL},
		{"park_ms", SPAN, &l->park_ns, false, NULL},
		{"no_stop", FLAG, &l->no_stop, false, NULL},
		{"dry_run", FLAG, &r->dry_run, false, NULL},
	};
	const struct field unload[] = {
		SELECTOR,
		{"id", TEXT, &u->id, true, NULL},
		{"quiesce", CHOICE, &u->quiesce, false, ways},
		{"timeout_ms", SPAN, &u->timeout_ns, false, NULL},
		{"park_ms", SPAN, &u->park_ns, false, NULL},
		{"discard", FLAG, &u->discard, false, NULL},
	};
	const struct field list[] = {SELECTOR};
#undef SELECTOR
	const struct field explain[] = {
		{"pid", PID, &r->pid, true, NULL},
		{"functions", TEXTS, NULL, true, NULL},
	};
	const struct field watch[] = {
		{"pid", PID, &r->pid, true, NULL},
	};
	const struct field restart[] = {
		{"pid", PID, &r->pid, true, NULL},
		{"command", WORDS, NULL, false, NULL},
		{"drain", TEXT, &drain, false, NULL},
		{"ready", CHOICE, &n->ready, false, readies},
		{"ready_timeout_ms", SPAN, &n->ready_ns, false, NULL},
		{"drain_timeout_ms", SPAN, &n->drain_ns, false, NULL},
		{"env", CHOICE, &n->env, false, envs},
		{"set", PAIRS, &n->set, false, NULL},
		{"pidfile", PATH, &n->pidfile, false, NULL},
		{"user", TEXT, &n->user, false, NULL},
		{"allow_new_binds", FLAG, &n->allow_new_binds, false, NULL},
		{"no_residue", FLAG, &n->no_residue, false, NULL},
		{"wait", FLAG, &r->wait, false, NULL},
	};

	/* The enums are read as ints. */
	_Static_assert(sizeof(enum hp_mode) == sizeof(int), "enum hp_mode");
	_Static_assert(sizeof(enum hp_quiesce) == sizeof(int), "enum hp_quiesce");
	_Static_assert(sizeof(enum hp_restart_ready) == sizeof(int), "enum hp_restart_ready");
	_Static_assert(sizeof(enum hp_restart_env) == sizeof(int), "enum hp_restart_env");
	switch (r->kind) {
	case HP_JOB_LOAD:
	case HP_JOB_CHECK:
		return read_fields(r, doc, load, sizeof(load) / sizeof(load[0]), err);
	case HP_JOB_UNLOAD:
		return read_fields(r, doc, unload, sizeof(unload) / sizeof(unload[0]), err);
	case HP_JOB_EXPLAIN:
		return read_fields(r, doc, explain, sizeof(explain) / sizeof(explain[0]), err);
	case HP_JOB_WATCH:
		return read_fields(r, doc, watch, sizeof(watch) / sizeof(watch[0]), err);
	case HP_JOB_RESTART:
		k = read_fields(r, doc, restart, sizeof(restart) / sizeof(restart[0]), err);
		if (k == 0 && drain && !hp_drain_parse(drain, &n->drain, &n->drain_signal))
			k = hp_err_set(err, -HP_E_BAD_REQUEST,
				       "field \"drain\" must be \"external\" or \"graceful\", with "
				       "\":\" and the name of a signal behind it or not");
		return k;
	case HP_JOB_LIST:
		return read_fields(r, doc, list, sizeof(list) / sizeof(list[0]), err);
	case HP_JOB_RECOVER:
	case HP_JOB_DOCTOR:
	case HP_JOB_SELECT:
	case HP_JOB_GUARD:
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

/* A string for a member of a record. */
static int put(char *to, size_t room, const char *name, const char *s, struct hp_err *err)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= room)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" is longer than %zu bytes",
				  name, room - 1);
	memcpy(to, s ? s : "", n + 1);
	return 0;
}

static int read_serve(struct hp_record *ret, const json_t *doc, struct hp_err *err)
{
	struct hp_job_request r;
	struct sockaddr_storage addr;
	const char *http = NULL, *token = NULL;
	bool remote = false;
	const struct field serve[] = {
		{"pid", PID, &r.pid, true, NULL},
		{"http", TEXT, &http, true, NULL},
		{"token", TEXT, &token, false, NULL},
		{"allow_remote", FLAG, &remote, false, NULL},
		{"timeout_ms", SPAN, &r.load.timeout_ns, false, NULL},
		{"park_ms", SPAN, &r.load.park_ns, false, NULL},
	};
	int k;

	hp_job_request_init(&r, HP_JOB_LOAD);
	k = read_fields(&r, (json_t *)doc, serve, sizeof(serve) / sizeof(serve[0]), err);
	if (k == 0)
		k = hp_tcp_parse(http, &addr, err);
	if (k == 0 && token && strlen(token) >= sizeof(ret->token))
		k = hp_err_set(err, -HP_E_BAD_REQUEST, "a token has at most %zu characters",
			       sizeof(ret->token) - 1);
	if (k == 0)
		k = put(ret->token, sizeof(ret->token), "token", token, err);
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
	const struct field unserve[] = {{"http", TEXT, &http, true, NULL}};
	json_t *doc;
	int k = read_body(&doc, body, n, err);

	if (k < 0)
		return k;
	hp_job_request_init(&r, HP_JOB_LIST);
	k = read_fields(&r, doc, unserve, 1, err);
	if (k == 0)
		k = put(ret->file, sizeof(ret->file), "http", http, err);
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
	if (errno || *end || end == text || n <= 0 || n > PID_LIMIT)
		return hp_err_set(err, -HP_E_BAD_REQUEST,
				  "\"pid=%.30s\": must be a process id: a whole number above 0",
				  text);
	*ret = (pid_t)n;
	return 0;
}
