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
#include <unistd.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/family_priv.h"

#define AT_ONCE_MIN 4
#define AT_ONCE_MAX 16
#define ROUNDS_MAX  16

static void turn(struct hp_family *f);

/* --- members ---------------------------------------------------------------------------------- */

static int by_pid(const void *a, const void *b)
{
	return ((const struct hp_member *)a)->pid - ((const struct hp_member *)b)->pid;
}

static int by_number(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

static bool is_named(const struct hp_family *f, pid_t pid)
{
	return f->named && bsearch(&pid, f->named, f->req.sel.n_pids, sizeof(pid), by_number);
}

static int sort_named(struct hp_family *f)
{
	size_t n = f->req.sel.n_pids;

	if (!n)
		return 0;
	f->named = calloc(n, sizeof(*f->named));
	if (!f->named)
		return -ENOMEM;
	memcpy(f->named, f->req.sel.pids, n * sizeof(*f->named));
	qsort(f->named, n, sizeof(*f->named), by_number);
	return 0;
}

static void read_comm(struct hp_member *m)
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
	struct hp_member key = {.pid = pid}, *m;

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
	f->count[HP_MEMBER_WAITING]++;
	return true;
}

static void set_outcome(struct hp_member *m, enum hp_family_outcome o)
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
	struct hp_member *m;

	TAILQ_REMOVE(&f->d->families, f, link);
	tdestroy(f->by_pid, leave_tree);
	while ((m = TAILQ_FIRST(&f->members))) {
		TAILQ_REMOVE(&f->members, m, link);
		hp_buf_free(&m->result);
		free(m->text);
		free(m);
	}
	hp_job_request_free(&f->req);
	free(f->named);
	free(f);
}

static enum hp_family_outcome outcome_of(const struct hp_member *m)
{
	bool undoing = m->f->undoing, load = m->f->kind == HP_JOB_LOAD && !undoing;

	if (!m->code)
		return undoing ? HP_MEMBER_UNDONE : HP_MEMBER_DONE;
	if (m->code == -HP_E_GONE && (!m->named || undoing))
		return HP_MEMBER_GONE;
	if (m->code == (load ? -HP_E_ALREADY : -HP_E_NOT_LOADED))
		return undoing ? HP_MEMBER_UNDONE : HP_MEMBER_ALREADY;
	return undoing ? HP_MEMBER_STUCK : HP_MEMBER_FAILED;
}

static void finish(struct hp_family *f)
{
	hp_log(HP_LOG_INFO, "%s in %zu processes: done in %zu, failed in %zu",
	       hp_job_kind_name(f->kind), f->n, f->count[HP_MEMBER_DONE], f->count[HP_MEMBER_FAILED]);
	if (f->c) {
		f->c->gone = NULL;
		hp_family_answer(f);
	}
	family_free(f);
}

/* --- work ------------------------------------------------------------------------------------- */

static void set_said(struct hp_member *m, int code, const char *text)
{
	free(m->text);
	m->code = code;
	m->text = code ? strdup(text) : NULL; /* without memory an error has no sentence */
}

static void member_answered(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_member *m = job->client;
	struct hp_family *f = m->f;

	set_said(m, said->head->code, said->head->text);
	m->retained = said->head->retained;
	hp_buf_drop(&m->result, m->result.n);
	if (hp_buf_add(&m->result, said->doc, said->n_doc) < 0)
		hp_log(HP_LOG_ERROR, "process %d: no memory for what became of it", m->pid);
	set_outcome(m, outcome_of(m));
	/* Only what was changed may have been forked before. */
	f->worked = f->worked || m->outcome == HP_MEMBER_DONE;
	f->answered += !f->undoing;
	f->running--;
	hp_family_tell(f, m);
	turn(f);
}

static int request_for(const struct hp_member *m, struct hp_job_request *ret, struct hp_err *err)
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

static void fail(struct hp_member *m, const struct hp_err *err)
{
	set_said(m, err->code, err->text);
	set_outcome(m, m->f->undoing ? HP_MEMBER_STUCK : HP_MEMBER_FAILED);
	m->f->answered += !m->f->undoing;
	hp_family_tell(m->f, m);
}

static void start(struct hp_member *m)
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
	set_outcome(m, HP_MEMBER_RUNNING);
	job->client = m;
	job->on_answer = member_answered;
	f->running++;
	hp_job_submit(job, false);
}

static void selected(struct hp_job *job, const struct hp_job_said *said)
{
	struct hp_family *f = job->client;
	const struct hp_job_head *h = said->head;

	f->looked = true;
	/* Of the first look: what the others and the members go by. */
	if (f->rounds == 1 && h->code)
		(void)hp_err_set(&f->failure, h->code, "%s", h->text);
	else if (f->rounds == 1)
		snprintf(f->id, sizeof(f->id), "%.64s", h->id);
	else if (h->code && h->code != -HP_E_GONE && h->code != -HP_E_NOT_LOADED)
		f->restless = true;
	for (size_t i = 0; i < h->n[HP_FACT_PID]; i++)
		if (!add_member(f, said->pid[i]))
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
			(void)hp_err_set(&f->failure, -ENOMEM, "no memory for the operation");
		return;
	}
	job->client = f;
	job->on_answer = selected;
	hp_job_submit(job, false);
}

/* What was loaded is unloaded again. */
static void begin_undo(struct hp_family *f)
{
	struct hp_member *m;

	f->undoing = true;
	while ((m = TAILQ_FIRST(&f->waiting))) {
		TAILQ_REMOVE(&f->waiting, m, waiting);
		set_outcome(m, HP_MEMBER_LEFT);
	}
	TAILQ_FOREACH(m, &f->members, link)
		if (m->outcome == HP_MEMBER_DONE)
			TAILQ_INSERT_TAIL(&f->waiting, m, waiting);
}

static unsigned at_once(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < AT_ONCE_MIN ? AT_ONCE_MIN : n > AT_ONCE_MAX ? AT_ONCE_MAX : (unsigned)n;
}

static bool must_undo(const struct hp_family *f)
{
	return f->req.all_or_nothing && f->kind == HP_JOB_LOAD && !f->undoing &&
	       f->count[HP_MEMBER_FAILED];
}

/* Whatever can be begun now.  True: there is no more to do. */
static bool step(struct hp_family *f)
{
	struct hp_member *m;
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
	if (!f->worked || f->undoing || f->failure.code || f->d->stopping)
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

/* A family goes on without its client: nobody but root may leave any number of them behind. */
static bool is_one_too_many(const struct hp_client *c)
{
	const struct hp_family *f;
	unsigned his = 0, all = 0;

	TAILQ_FOREACH(f, &c->d->families, link) {
		his += f->peer.uid == c->peer.uid;
		all += f->peer.uid != 0;
	}
	return c->peer.uid != 0 && (his >= HP_TURNS_USER || all >= HP_TURNS_ALL);
}

static struct hp_family *family_new(struct hp_client *c, struct hp_job_request *req)
{
	struct hp_family *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->d = c->d;
	f->c = c;
	f->peer = c->peer;
	f->kind = req->kind;
	f->req = *req;
	if (sort_named(f) < 0) {
		free(f);
		return NULL;
	}
	*req = (struct hp_job_request){0};
	TAILQ_INIT(&f->members);
	TAILQ_INIT(&f->waiting);
	TAILQ_INSERT_TAIL(&f->d->families, f, link);
	return f;
}

void hp_family_begin(struct hp_client *c, struct hp_job_request *req)
{
	struct hp_family *f = NULL;
	struct hp_err err;

	if (is_one_too_many(c))
		(void)hp_err_set(&err, -HP_E_UNREACHABLE,
				 "too many operations on several processes are under way: try again "
				 "later");
	else if (!(f = family_new(c, req)))
		(void)hp_err_sys(&err, ENOMEM, "operation on several processes");
	if (!f) {
		hp_job_request_free(req);
		hp_client_reply_error(c, err.code, err.text);
		return;
	}
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
