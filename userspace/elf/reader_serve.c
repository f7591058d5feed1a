/* SPDX-License-Identifier: MIT */
/*
 * The reader's own side.  It is told by one that it trusts, and by files that it does not: whatever
 * these make of it, it has nothing but the socket to do harm with.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/helper.h"
#include "elf/image.h"
#include "elf/reader_priv.h"

struct hp_reply {
	const struct hp_verb *verb;
	struct hp_buf records, text;
	size_t n;
	int sock;
	uint32_t seq;
	struct hp_buf *bytes; /* of the question */
};

/* This process is a reader. */
static bool is_here;

struct hp_reader *hp_reader_of(const struct hp_image *im)
{
	return is_here ? NULL : im->reader;
}

void *hp_reply_add(struct hp_reply *reply)
{
	static const uint8_t zero[64];
	size_t at = reply->records.n, size = reply->verb->record_size;

	if (reply->n == reply->verb->max_records)
		return NULL;
	for (size_t k = 0; k < size; k += sizeof(zero))
		if (hp_buf_add(&reply->records, zero,
			       size - k < sizeof(zero) ? size - k : sizeof(zero)) < 0)
			return NULL;
	reply->n++;
	return reply->records.v + at;
}

bool hp_reply_string(struct hp_reply *reply, const char *s, uint32_t *ret)
{
	size_t n = strlen(s) + 1, at = reply->text.n;

	if (n > reply->verb->max_text || at > reply->verb->max_text - n ||
	    hp_buf_add(&reply->text, s, n) < 0)
		return false;
	*ret = (uint32_t)at;
	return true;
}

static void say(struct hp_reply *reply, int rc)
{
	const struct reader_answer head = {reply->seq, rc, reply->n, reply->text.n};

	if (hp_write_all(reply->sock, &head, sizeof(head)) < 0 ||
	    hp_write_all(reply->sock, reply->records.v, reply->records.n) < 0 ||
	    hp_write_all(reply->sock, reply->text.v, reply->text.n) < 0)
		_exit(0); /* nobody listens any more */
	hp_buf_drop(&reply->records, reply->records.n);
	hp_buf_drop(&reply->text, reply->text.n);
	reply->n = 0;
}

static void hear(struct hp_reply *reply, struct reader_request *q)
{
	struct hp_buf *b = reply->bytes;

	hp_buf_drop(b, b->n);
	if (hp_read_all(reply->sock, q, sizeof(*q)) < 0)
		_exit(0); /* the end */
	for (size_t left = q->question.n_bytes; left;) {
		char piece[4096];
		size_t n = left < sizeof(piece) ? left : sizeof(piece);

		if (hp_read_all(reply->sock, piece, n) < 0 || hp_buf_add(b, piece, n) < 0)
			_exit(0);
		left -= n;
	}
	if (hp_buf_add(b, "", 1) < 0)
		_exit(0);
	q->question.bytes = b->v;
	reply->verb = q->question.verb;
	reply->seq = q->seq;
}

void hp_reply_turn(struct hp_reply *reply, struct hp_question *q)
{
	struct reader_request more;

	say(reply, 1);
	hear(reply, &more);
	if (more.step != READER_TELL)
		_exit(1); /* who asks gave this one up, and does not know it */
	q->bytes = more.question.bytes;
	q->n_bytes = more.question.n_bytes;
}

int hp_reader_answer(const struct hp_question *q, struct hp_told *ret, struct hp_err *err)
{
	struct hp_reply reply = {.verb = q->verb};
	int r = q->verb->answer(q, &reply, err);

	if (r >= 0 && hp_buf_add(&reply.text, "", 1) < 0)
		r = hp_err_sys(err, ENOMEM, "%s", q->verb->what);
	if (r < 0) {
		hp_buf_free(&reply.records);
		hp_buf_free(&reply.text);
		return r;
	}
	*ret = (struct hp_told){reply.records.v, reply.n, reply.text.v, reply.text.n - 1};
	return 0;
}

static void answer(struct hp_reply *reply, const struct hp_question *q)
{
	struct hp_err err = {.text = ""};
	int k = hp_fault(HP_FAULT_READER_ASKED, &err);

	if (k == 0)
		k = q->verb->answer(q, reply, &err);

	if (k < 0) {
		hp_buf_drop(&reply->records, reply->records.n);
		hp_buf_drop(&reply->text, reply->text.n);
		reply->n = 0;
		/* Without memory for it the other side finds it missing. */
		(void)hp_buf_add(&reply->text, err.text, strlen(err.text) + 1);
	}
	say(reply, k < 0 ? k : 0);
}

void hp_reader_run(int sock)
{
	struct hp_buf bytes = {0};
	struct hp_reply reply = {.sock = sock, .bytes = &bytes};

	is_here = true;
	(void)signal(SIGBUS, SIG_DFL); /* half a file is no answer: who asks hears of our death */
	if (hp_helper_strip("hpd-reader", &sock, 1) < 0 || hp_reader_confine() < 0)
		_exit(1);
	for (;;) {
		struct reader_request q;

		hear(&reply, &q);
		answer(&reply, &q.question);
	}
}
