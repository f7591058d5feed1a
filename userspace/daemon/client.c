/* SPDX-License-Identifier: MIT */
#include "daemon/client.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/doc.h"
#include "daemon/serve.h"
#include "hp/err.h"
#include "ipc/json.h"

/* front chooses the numbers, and there may be many: none costs a walk through all. */
static int by_conn(const void *a, const void *b)
{
	uint64_t x = ((const struct hp_client *)a)->conn, y = ((const struct hp_client *)b)->conn;

	return (x > y) - (x < y);
}

struct hp_client *hp_client_find(struct hp_daemon *d, uint64_t conn)
{
	struct hp_client key, **c;

	key.conn = conn; /* of four thousand bytes the only ones that are looked at */
	c = tfind(&key, &d->clients_by_conn, by_conn);
	return c ? *c : NULL;
}

int hp_client_new(struct hp_daemon *d, uint64_t conn, int sock, struct hp_serve *from,
		  struct hp_client **ret, struct hp_err *err)
{
	struct hp_client *c;
	int k;

	/* Or one connection could be brought under any number of names. */
	if (d->n_clients >= HP_CONNS_CONTROL + HP_CONNS_TCP)
		return hp_err_set(err, -HP_E_DENIED, "front has more clients than it can have");
	c = calloc(1, sizeof(*c));
	if (!c)
		return hp_err_sys(err, ENOMEM, "client");
	k = from ? hp_peer_read_tcp(sock, from->fd, &c->peer, err)
		 : hp_peer_read(sock, d->opt.socket, &c->peer, err);
	if (k < 0) {
		free(c);
		return k;
	}
	c->d = d;
	c->conn = conn;
	c->from = from;
	if (!tsearch(c, &d->clients_by_conn, by_conn)) {
		free(c);
		return hp_err_sys(err, ENOMEM, "client");
	}
	TAILQ_INSERT_TAIL(&d->clients, c, link);
	d->n_clients++;
	*ret = c;
	return 0;
}

static void client_free(struct hp_client *c)
{
	struct hp_daemon *d = c->d;

	(void)tdelete(c, &d->clients_by_conn, by_conn); /* it is there */
	TAILQ_REMOVE(&d->clients, c, link);
	d->n_clients--;
	free(c);
	hp_daemon_settle(d);
}

void hp_client_leave(struct hp_client *c)
{
	void (*gone)(struct hp_client *) = c->gone;

	c->gone = NULL;
	if (gone)
		gone(c);
	client_free(c);
}

void hp_clients_leave(struct hp_daemon *d)
{
	struct hp_client *c;

	while ((c = TAILQ_FIRST(&d->clients)))
		hp_client_leave(c);
}

/* --- answers ------------------------------------------------------------------------------------- */

/* What cannot be made for want of memory is no answer: the client is cut off. */
static void tell(struct hp_daemon *d, uint64_t conn, struct hp_tell_head head, int k,
		 const struct hp_buf *text)
{
	head.conn = conn;
	if (k < 0 && head.tell != HP_TELL_LAST) {
		head = (struct hp_tell_head){.tell = HP_TELL_REPLY,
					     .conn = conn,
					     .code = -ENOMEM,
					     .flags = HP_TELL_CLOSE};
	}
	if (k < 0 || !text->n)
		hp_front_tell(&d->front, &head, "", 0);
	else
		hp_front_tell(&d->front, &head, text->v, text->n);
}

static void tell_whole(struct hp_daemon *d, uint64_t conn, struct hp_tell_head head, json_t *doc)
{
	struct hp_buf text = {0};
	int k = hp_doc_put(&text, doc);

	head.tell = HP_TELL_REPLY;
	tell(d, conn, head, k, &text);
	hp_buf_free(&text);
}

/* Takes @doc, and is the last that @c is told. */
static void reply(struct hp_client *c, struct hp_tell_head head, json_t *doc)
{
	tell_whole(c->d, c->conn, head, doc);
	client_free(c);
}

void hp_client_refuse(struct hp_daemon *d, uint64_t conn, const struct hp_err *why)
{
	const struct hp_tell_head head = {.code = why->code, .flags = HP_TELL_CLOSE};

	tell_whole(d, conn, head, hp_json_error(why->code, why->text));
}

void hp_client_reply(struct hp_client *c, json_t *doc)
{
	reply(c, (struct hp_tell_head){0}, doc);
}

void hp_client_reply_error(struct hp_client *c, int code, const char *text)
{
	reply(c, (struct hp_tell_head){.code = code}, hp_json_error(code, text));
}

static void log_denied(const struct hp_client *c, pid_t pid, const char *text)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_DENIED, .pid = pid};
	char uid[32] = "somebody";

	if (c->peer.known)
		snprintf(uid, sizeof(uid), "uid %u", c->peer.uid);
	hp_log_about(HP_LOG_WARNING, &about, "%s, asked for by %s of %s%s%s: %s", c->asks,
		     c->peer.name, uid, c->from ? " at " : "", c->from ? c->from->addr : "", text);
}

void hp_client_deny(struct hp_client *c, pid_t pid, int code, const char *text)
{
	if (hp_err_exit(code) == HP_EXIT_DENIED)
		log_denied(c, pid, text);
	hp_client_reply_error(c, code, text);
}

void hp_client_turn_away(struct hp_client *c, int code, unsigned status, const char *text)
{
	log_denied(c, c->from ? c->from->pid : 0, text);
	reply(c, (struct hp_tell_head){.code = code, .status = status, .flags = HP_TELL_CLOSE},
	      hp_json_error(code, text));
}

void hp_client_reply_metrics(struct hp_client *c, const struct hp_buf *text)
{
	const struct hp_tell_head head = {
		.tell = HP_TELL_REPLY, .flags = HP_TELL_METRICS, .conn = c->conn};

	hp_front_tell(&c->d->front, &head, text->v, text->n);
	client_free(c);
}

/* hotgo's face makes its own of the whole. */
void hp_client_answer(struct hp_client *c, const struct hp_job_said *said)
{
	const struct hp_tell_head head = {.tell = HP_TELL_REPLY, .code = said->head->code};
	struct hp_buf text = {0};
	int k;

	if (c->stream) {
		hp_client_end(c, said);
		return;
	}
	k = head.code || c->from ? hp_doc_answer(&text, said)
				 : hp_buf_add(&text, said->doc, said->n_doc);
	tell(c->d, c->conn, head, k, &text);
	hp_buf_free(&text);
	client_free(c);
}

void hp_client_stream(struct hp_client *c)
{
	const struct hp_tell_head head = {.tell = HP_TELL_STREAM, .conn = c->conn};

	c->stream = true;
	hp_front_tell(&c->d->front, &head, "", 0);
}

void hp_client_line(struct hp_client *c, const char *line, size_t n)
{
	const struct hp_tell_head head = {.tell = HP_TELL_LINE, .conn = c->conn};

	hp_front_tell(&c->d->front, &head, line, n);
}

void hp_client_end(struct hp_client *c, const struct hp_job_said *last)
{
	struct hp_buf text = {0};
	int k = last ? hp_doc_answer(&text, last) : 0;

	tell(c->d, c->conn, (struct hp_tell_head){.tell = HP_TELL_LAST}, k, &text);
	hp_buf_free(&text);
	client_free(c);
}
