/* SPDX-License-Identifier: MIT */
/* daemon/family_tell.c – what is said of many processes: each as it is done, and all at the end. */
#include <errno.h>
#include <stdio.h>

#include "daemon/doc.h"
#include "daemon/events.h"
#include "daemon/family_priv.h"
#include "ipc/json.h"

static const char *outcome_name(const struct hp_member *m)
{
	bool load = m->f->kind == HP_JOB_LOAD;

	switch (m->outcome) {
	case HP_MEMBER_DONE:
		if (load)
			return "loaded";
		return m->retained ? "retained" : "unloaded";
	case HP_MEMBER_ALREADY:
		return load ? "already-loaded" : "not-loaded";
	case HP_MEMBER_GONE:
		return "gone";
	case HP_MEMBER_WAITING:
	case HP_MEMBER_RUNNING:
	case HP_MEMBER_LEFT:
		return "not-begun";
	case HP_MEMBER_UNDONE:
		return "unloaded-again";
	case HP_MEMBER_STUCK:
		return "still-loaded";
	case HP_MEMBER_FAILED:
	case HP_MEMBER_OUTCOMES:
		break;
	}
	return "failed";
}

static int worst(const struct hp_family *f)
{
	const struct hp_member *m;
	int status = HP_EXIT_FAILED;

	TAILQ_FOREACH(m, &f->members, link) {
		int s = (int)hp_err_exit(m->code);

		if (m->outcome == HP_MEMBER_FAILED && s > status)
			status = s;
	}
	return status;
}

static int status_of(const struct hp_family *f)
{
	const size_t *n = f->count;

	if (n[HP_MEMBER_STUCK])
		return HP_EXIT_PARTIAL;
	if (n[HP_MEMBER_FAILED])
		return n[HP_MEMBER_DONE] ? HP_EXIT_PARTIAL : worst(f);
	if (f->restless || n[HP_MEMBER_WAITING])
		return n[HP_MEMBER_DONE] ? HP_EXIT_PARTIAL : HP_EXIT_FAILED;
	if (n[HP_MEMBER_DONE] || (n[HP_MEMBER_ALREADY] && f->kind == HP_JOB_LOAD))
		return HP_EXIT_DONE;
	return n[HP_MEMBER_ALREADY] ? HP_EXIT_REFUSED : HP_EXIT_FAILED;
}

/* NULL: it did not fail, or no memory. */
static json_t *error_of(const struct hp_member *m)
{
	return m->code ? hp_json_error_body(m->code, m->text ? m->text : "") : NULL;
}

static int put_row(struct hp_buf *ret, const struct hp_member *m)
{
	int k = hp_doc_put(ret, json_pack("{s:i,s:o,s:s,s:o*}", "pid", (int)m->pid, "comm",
					  hp_json_text(m->comm), "result", outcome_name(m), "error",
					  error_of(m)));

	return k == 0 && m->result.n ? hp_doc_add(ret, "details", m->result.v, m->result.n) : k;
}

static int put_rows(struct hp_buf *ret, const struct hp_family *f)
{
	const struct hp_member *m;
	int k = hp_buf_add(ret, "[", 1);

	TAILQ_FOREACH(m, &f->members, link) {
		if (k == 0 && m != TAILQ_FIRST(&f->members))
			k = hp_buf_add(ret, ",", 1);
		if (k == 0)
			k = put_row(ret, m);
	}
	return k == 0 ? hp_buf_add(ret, "]", 1) : k;
}

static int put_result(struct hp_buf *ret, const struct hp_family *f)
{
	const size_t *n = f->count;
	struct hp_buf rows = {0};
	int k = hp_doc_put(ret, json_pack("{s:i,s:s,s:i,s:b,s:i,s:i}", "schema", 1, "hp_id", f->id,
					  "status", status_of(f), "complete",
					  !f->restless && !n[HP_MEMBER_WAITING], "done",
					  (int)(n[HP_MEMBER_DONE] + n[HP_MEMBER_ALREADY]), "failed",
					  (int)(n[HP_MEMBER_FAILED] + n[HP_MEMBER_STUCK])));

	if (k == 0)
		k = put_rows(&rows, f);
	if (k == 0)
		k = hp_doc_add(ret, "targets", rows.v, rows.n);
	hp_buf_free(&rows);
	return k;
}

void hp_family_answer(const struct hp_family *f)
{
	struct hp_job_head head = {.word = HP_WORD_ANSWER, .code = f->failure.code};
	struct hp_job_said said = {.head = &head};
	struct hp_buf result = {0};

	snprintf(head.text, sizeof(head.text), "%s", f->failure.text);
	if (!head.code && put_result(&result, f) < 0) {
		head.code = -ENOMEM;
		snprintf(head.text, sizeof(head.text), "no memory for the answer");
		hp_buf_free(&result);
	}
	said.doc = result.v;
	said.n_doc = result.n;
	hp_client_answer(f->c, &said);
	hp_buf_free(&result);
}

void hp_family_tell(struct hp_family *f, const struct hp_member *m)
{
	struct hp_buf e = {0};

	if (!f->c || !f->c->stream)
		return;
	if (hp_doc_put(&e, hp_event_new("target", m->pid,
					json_pack("{s:s,s:o,s:I,s:I,s:o*}", "result",
						  outcome_name(m), "comm", hp_json_text(m->comm),
						  "done", (json_int_t)f->answered, "of",
						  (json_int_t)f->n, "error", error_of(m)))) == 0)
		hp_client_line(f->c, e.v, e.n);
	hp_buf_free(&e);
}
