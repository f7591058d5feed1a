/* SPDX-License-Identifier: MIT */
/*
 * A round is a selection and the work on what it found for the first time.  Children inherit what
 * their parent has: one that was forked before its parent was changed is found by the next round,
 * one that was forked later is as its parent.  So after a round without work there is no more to do.
 *
 * A job may answer before its submission returns: everything happens in turn(), which is not entered
 * twice, and a family is freed nowhere else.
 */
#include "daemon/family.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/client.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/job.h"
#include "daemon/json_out.h"
#include "hp/err.h"

#define AT_ONCE_MIN 4
#define AT_ONCE_MAX 16
#define ROUNDS_MAX  16

enum outcome {
	WAITING,
	RUNNING,
	DONE,	 /* loaded, unloaded */
	ALREADY, /* it was so before: loaded, not loaded */
	GONE,	 /* ended meanwhile */
	FAILED,
	LEFT,	 /* not begun, because others failed */
	UNDONE,	 /* loaded, and unloaded again because others failed */
	STUCK,	 /* … which failed */
	OUTCOMES,
};

struct member {
	TAILQ_ENTRY(member) link, waiting;
	struct hp_family *f;
	pid_t pid;
	char comm[17];
	bool named; /* by its pid: it must be there */
	enum outcome outcome;
	json_t *result, *error; /* of its job */
};

struct hp_family {
	TAILQ_ENTRY(hp_family) link;
	struct hp_daemon *d;
	struct hp_client *c; /* NULL: it left */
	struct hp_peer peer;
	enum hp_job_kind kind;
	struct hp_job_request req;
	char id[HP_ID_LEN + 1];

	TAILQ_HEAD(members, member) members, waiting;
	void *by_pid; /* tsearch(3) */
	size_t n, answered, count[OUTCOMES];
	unsigned running, rounds;
	bool worked;	/* in this round */
	bool looked;	/* no selection is under way */
	bool restless;	/* there may be processes that were not found */
	bool undoing, in_turn;
	json_t *failure; /* of the first selection: the answer */
};

static void turn(struct hp_family *f);

/* --- members ---------------------------------------------------------------------------------- */

static int by_pid(const void *a, const void *b)
{
	return ((const struct member *)a)->pid - ((const struct member *)b)->pid;
}

static bool is_named(const struct hp_family *f, pid_t pid)
{
	for (size_t i = 0; i < f->req.sel.n_pids; i++)
		if (f->req.sel.pids[i] == pid)
			return true;
	return false;
}

static void read_comm(struct member *m)
{
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", m->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(m->comm, sizeof(m->comm), file))
		m->comm[strcspn(m->comm, "\n")] = 0;
	fclose(file);
}

static bool add_member(struct hp_family *f, pid_t pid)
{
	struct member key = {.pid = pid}, *m;

	if (tfind(&key, &f->by_pid, by_pid))
		return true;
	m = calloc(1, sizeof(*m));
	if (!m)
		return false;
	m->f = f;
	m->pid = pid;
	m->named = is_named(f, pid);
	if (!tsearch(m, &f->by_pid, by_pid)) {
		free(m);
		return false;
	}
	read_comm(m);
	TAILQ_INSERT_TAIL(&f->members, m, link);
	TAILQ_INSERT_TAIL(&f->waiting, m, waiting);
	f->n++;
	f->count[WAITING]++;
	return true;
}

static void set_outcome(struct member *m, enum outcome o)
{
	m->f->count[m->outcome]--;
	m->f->count[o]++;
	m->outcome = o;
}

static void leave_tree(void *m)
{
}

static void family_free(struct hp_family *f)
{
	struct member *m;

	TAILQ_REMOVE(&f->d->families, f, link);
	tdestroy(f->by_pid, leave_tree);
	while ((m = TAILQ_FIRST(&f->members))) {
		TAILQ_REMOVE(&f->members, m, link);
		json_decref(m->result);
		json_decref(m->error);
		free(m);
	}
	json_decref(f->failure);
	hp_job_request_free(&f->req);
	free(f);
}

static bool is_code(const json_t *error, int code)
{
	const char *name = json_string_value(json_object_get(error, "code"));

	return name && !strcmp(name, hp_err_name(-code));
}

static enum outcome outcome_of(const struct member *m)
{
	bool undoing = m->f->undoing, load = m->f->kind == HP_JOB_LOAD && !undoing;

	if (!m->error)
		return undoing ? UNDONE : DONE;
	if (is_code(m->error, HP_E_GONE) && (!m->named || undoing))
		return GONE;
	if (is_code(m->error, load ? HP_E_ALREADY : HP_E_NOT_LOADED))
		return undoing ? UNDONE : ALREADY;
	return undoing ? STUCK : FAILED;
}

static const char *outcome_name(const struct member *m)
{
	bool load = m->f->kind == HP_JOB_LOAD;

	switch (m->outcome) {
	case DONE:
		if (load)
			return "loaded";
		return json_is_true(json_object_get(m->result, "retained")) ? "retained"
									     : "unloaded";
	case ALREADY:
		return load ? "already-loaded" : "not-loaded";
	case GONE:
		return "gone";
	case WAITING:
	case RUNNING:
	case LEFT:
		return "not-begun";
	case UNDONE:
		return "unloaded-again";
	case STUCK:
		return "still-loaded";
	case FAILED:
	case OUTCOMES:
		break;
	}
	return "failed";
}

/* --- the answer ------------------------------------------------------------------------------- */

static int worst(const struct hp_family *f)
{
	const struct member *m;
	int status = HP_EXIT_FAILED;

	TAILQ_FOREACH(m, &f->members, link) {
		int s = (int)json_integer_value(json_object_get(m->error, "status"));

		if (m->outcome == FAILED && s > status)
			status = s;
	}
	return status;
}

static int status_of(const struct hp_family *f)
{
	const size_t *n = f->count;

	if (n[STUCK])
		return HP_EXIT_PARTIAL;
	if (n[FAILED])
		return n[DONE] ? HP_EXIT_PARTIAL : worst(f);
	if (f->restless || n[WAITING])
		return n[DONE] ? HP_EXIT_PARTIAL : HP_EXIT_FAILED;
	if (n[DONE] || (n[ALREADY] && f->kind == HP_JOB_LOAD))
		return HP_EXIT_DONE;
	return n[ALREADY] ? HP_EXIT_REFUSED : HP_EXIT_FAILED;
}

static json_t *row(const struct member *m)
{
	return json_pack("{s:i,s:o,s:s,s:O*,s:O*}", "pid", (int)m->pid, "comm",
			 hp_json_text(m->comm), "result", outcome_name(m), "details", m->result,
			 "error", m->error);
}

static json_t *answer_of(const struct hp_family *f)
{
	const struct member *m;
	json_t *rows;

	if (f->failure)
		return json_incref(f->failure);
	rows = json_array();
	TAILQ_FOREACH(m, &f->members, link)
		if (json_array_append_new(rows, row(m)) < 0)
			break;
	return json_pack("{s:i,s:{s:i,s:s,s:i,s:b,s:i,s:i,s:o}}", "schema", 1, "result", "schema", 1,
			 "hp_id", f->id, "status", status_of(f), "complete",
			 !f->restless && !f->count[WAITING], "done",
			 (int)(f->count[DONE] + f->count[ALREADY]), "failed",
			 (int)(f->count[FAILED] + f->count[STUCK]), "targets", rows);
}

static void finish(struct hp_family *f)
{
	json_t *answer = answer_of(f);

	hp_log(HP_LOG_INFO, "%s in %zu processes: done in %zu, failed in %zu",
	       hp_job_kind_name(f->kind), f->n, f->count[DONE], f->count[FAILED]);
	if (f->c) {
		f->c->gone = NULL;
		hp_client_answer(f->c, answer);
	}
	json_decref(answer);
	family_free(f);
}

static void tell(struct hp_family *f, const struct member *m)
{
	json_t *e;

	if (!f->c || !f->c->stream)
		return;
	e = hp_event_new("target", m->pid,
			 json_pack("{s:s,s:o,s:I,s:I,s:O*}", "result", outcome_name(m), "comm",
				   hp_json_text(m->comm), "done", (json_int_t)f->answered, "of",
				   (json_int_t)f->n, "error", m->error));
	if (e)
		hp_client_line(f->c, e);
	json_decref(e);
}

/* --- work ------------------------------------------------------------------------------------- */

static void member_answered(struct hp_job *job, const json_t *answer)
{
	struct member *m = job->client;
	struct hp_family *f = m->f;

	json_decref(m->result);
	json_decref(m->error);
	m->result = json_incref(json_object_get(answer, "result"));
	m->error = json_incref(json_object_get(answer, "error"));
	set_outcome(m, outcome_of(m));
	/* Only what was changed may have been forked before. */
	f->worked = f->worked || m->outcome == DONE;
	f->answered += !f->undoing;
	f->running--;
	tell(f, m);
	turn(f);
}

static int request_for(const struct member *m, struct hp_job_request *ret, struct hp_err *err)
{
	const struct hp_family *f = m->f;
	struct hp_job_request like = f->req;

	/* Wherever the file is loaded later, it must hold what it held at the first look. */
	like.load.id = like.unload.id = f->id;
	if (f->undoing) {
		/* With the same patience. */
		like.kind = HP_JOB_UNLOAD;
		like.unload.quiesce = like.load.quiesce;
		like.unload.timeout_ns = like.load.timeout_ns;
		like.unload.park_ns = like.load.park_ns;
	}
	if (hp_job_request_for(&like, m->pid, ret) < 0)
		return hp_err_sys(err, ENOMEM, "request for process %d", m->pid);
	return 0;
}

static void fail(struct member *m, const struct hp_err *err)
{
	json_t *doc = hp_json_error(err->code, err->text);

	json_decref(m->error);
	m->error = json_incref(json_object_get(doc, "error"));
	json_decref(doc);
	set_outcome(m, m->f->undoing ? STUCK : FAILED);
	m->f->answered += !m->f->undoing;
	tell(m->f, m);
}

static void start(struct member *m)
{
	struct hp_family *f = m->f;
	struct hp_subject *s = hp_subject_find(f->d, m->pid);
	struct hp_job_request req;
	struct hp_job *job = NULL;
	struct hp_err err;

	TAILQ_REMOVE(&f->waiting, m, waiting);
	if (s && hp_subject_full(s))
		(void)hp_err_set(&err, -HP_E_UNREACHABLE,
				 "too many operations wait for process %d: try again later",
				 m->pid);
	else if (request_for(m, &req, &err) == 0 && !(job = hp_job_new(f->d, &req, &f->peer)))
		(void)hp_err_sys(&err, ENOMEM, "operation on process %d", m->pid);
	if (!job) {
		fail(m, &err);
		return;
	}
	set_outcome(m, RUNNING);
	job->client = m;
	job->on_answer = member_answered;
	f->running++;
	hp_job_submit(job, false);
}

/* Of the first look: what the others and the members go by. */
static void take_first(struct hp_family *f, const json_t *answer, const json_t *result)
{
	const char *id = json_string_value(json_object_get(result, "hp_id"));

	if (!result) {
		f->failure = json_incref((json_t *)answer);
		return;
	}
	snprintf(f->id, sizeof(f->id), "%s", id ? id : "");
}

static void selected(struct hp_job *job, const json_t *answer)
{
	struct hp_family *f = job->client;
	const json_t *result = json_object_get(answer, "result");
	const json_t *error = json_object_get(answer, "error");
	size_t i;
	json_t *pid;

	f->looked = true;
	if (f->rounds == 1)
		take_first(f, answer, result);
	else if (error && !is_code(error, HP_E_GONE) && !is_code(error, HP_E_NOT_LOADED))
		f->restless = true;
	json_array_foreach (json_object_get(result, "pids"), i, pid)
		if (!add_member(f, (pid_t)json_integer_value(pid)))
			f->restless = true;
	turn(f);
}

static void look(struct hp_family *f)
{
	struct hp_job_request req = {.kind = HP_JOB_SELECT, .sel = f->req.sel};
	struct hp_job *job;

	/* The strings are the family's, which outlives the job; of the file only the first is asked. */
	req.load.file_fd = -1;
	if (f->kind == HP_JOB_LOAD && (f->rounds == 0 || f->req.sel.all))
		req.load.file = f->req.load.file;
	if (f->kind == HP_JOB_UNLOAD && (f->rounds == 0 || f->req.sel.all))
		req.unload.id = f->rounds ? f->id : f->req.unload.id;
	f->rounds++;
	f->worked = f->looked = false;
	job = hp_job_new(f->d, &req, &f->peer);
	if (!job) {
		f->looked = true;
		if (f->rounds == 1)
			f->failure = hp_json_error(-ENOMEM, "no memory for the operation");
		return;
	}
	job->client = f;
	job->on_answer = selected;
	hp_job_submit(job, false);
}

/* What was loaded is unloaded again. */
static void begin_undo(struct hp_family *f)
{
	struct member *m;

	f->undoing = true;
	while ((m = TAILQ_FIRST(&f->waiting))) {
		TAILQ_REMOVE(&f->waiting, m, waiting);
		set_outcome(m, LEFT);
	}
	TAILQ_FOREACH(m, &f->members, link)
		if (m->outcome == DONE)
			TAILQ_INSERT_TAIL(&f->waiting, m, waiting);
}

static unsigned at_once(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < AT_ONCE_MIN ? AT_ONCE_MIN : n > AT_ONCE_MAX ? AT_ONCE_MAX : (unsigned)n;
}

static bool must_undo(const struct hp_family *f)
{
	return f->req.all_or_nothing && f->kind == HP_JOB_LOAD && !f->undoing && f->count[FAILED];
}

/* Whatever can be begun now.  True: there is no more to do. */
static bool step(struct hp_family *f)
{
	struct member *m;
	bool undo = must_undo(f);

	/* A family that hpd's end meets is not finished, but undone if it was to be. */
	while (f->looked && !undo && f->running < at_once() && (m = TAILQ_FIRST(&f->waiting)) &&
	       (!f->d->stopping || f->undoing)) {
		start(m);
		undo = must_undo(f);
	}
	if (!f->looked || f->running)
		return false;
	if (undo) {
		begin_undo(f);
		return false;
	}
	if (!f->worked || f->undoing || f->failure || f->d->stopping)
		return true;
	if (f->rounds == ROUNDS_MAX) {
		f->restless = true;
		return true;
	}
	look(f);
	return false;
}

static void turn(struct hp_family *f)
{
	bool idle;

	if (f->in_turn)
		return;
	f->in_turn = true;
	do {
		idle = step(f);
	} while (!idle && f->looked && !f->running);
	f->in_turn = false;
	if (idle)
		finish(f);
}

static void client_gone(struct hp_client *c)
{
	((struct hp_family *)c->owner)->c = NULL;
}

void hp_family_begin(struct hp_client *c, struct hp_job_request *req)
{
	struct hp_family *f = calloc(1, sizeof(*f));

	if (!f) {
		hp_job_request_free(req);
		hp_client_reply_error(c, -ENOMEM, "no memory for the operation");
		return;
	}
	f->d = c->d;
	f->c = c;
	f->peer = c->peer;
	f->kind = req->kind;
	f->req = *req;
	*req = (struct hp_job_request){0};
	TAILQ_INIT(&f->members);
	TAILQ_INIT(&f->waiting);
	TAILQ_INSERT_TAIL(&f->d->families, f, link);
	c->owner = f;
	c->gone = client_gone;
	if (c->ndjson)
		hp_client_stream(c);
	f->worked = f->looked = true;
	turn(f);
}

json_t *hp_families_status(const struct hp_daemon *d)
{
	json_t *a = json_array();
	const struct hp_family *f;

	TAILQ_FOREACH(f, &d->families, link)
		if (json_array_append_new(
			    a, json_pack("{s:s,s:I,s:I,s:i,s:b}", "kind", hp_job_kind_name(f->kind),
					 "processes", (json_int_t)f->n, "answered",
					 (json_int_t)f->answered, "running", (int)f->running,
					 "undoing", f->undoing)) < 0)
			break;
	return a;
}

void hp_families_free(struct hp_daemon *d)
{
	struct hp_family *f;

	while ((f = TAILQ_FIRST(&d->families))) {
		if (f->c)
			f->c->gone = NULL;
		family_free(f);
	}
}
