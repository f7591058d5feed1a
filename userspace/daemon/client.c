/* SPDX-License-Identifier: MIT */
#include "daemon/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/json_out.h"
#include "daemon/serve.h"
#include "hp/err.h"

struct hp_client *hp_client_find(struct hp_daemon *d, uint64_t conn)
{
	struct hp_client *c;

	TAILQ_FOREACH(c, &d->clients, link)
	if (c->conn == conn)
		return c;
	return NULL;
}

int hp_client_new(struct hp_daemon *d, uint64_t conn, int sock, struct hp_listener *from,
		  struct hp_client **ret, struct hp_err *err)
{
	struct hp_client *c = calloc(1, sizeof(*c));
	int k;

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
	TAILQ_INSERT_TAIL(&d->clients, c, link);
	*ret = c;
	return 0;
}

static void client_free(struct hp_client *c)
{
	struct hp_daemon *d = c->d;

	TAILQ_REMOVE(&d->clients, c, link);
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

/* What cannot be made of want of memory is no answer: the client is cut off. */
static void tell(struct hp_client *c, struct hp_tell_head head, const json_t *doc)
{
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	head.conn = c->conn;
	if (!text && head.tell != HP_TELL_LAST) {
		head = (struct hp_tell_head){.tell = HP_TELL_REPLY,
					     .conn = c->conn,
					     .code = -ENOMEM,
					     .flags = HP_TELL_CLOSE};
	}
	hp_front_tell(&c->d->front, &head, text ? text : "", text ? strlen(text) : 0);
	free(text);
}

void hp_client_reply(struct hp_client *c, json_t *doc)
{
	tell(c, (struct hp_tell_head){.tell = HP_TELL_REPLY}, doc);
	json_decref(doc);
	client_free(c);
}

static void reply_error(struct hp_client *c, struct hp_tell_head head, const char *text)
{
	json_t *doc = hp_json_error(head.code, text);

	head.tell = HP_TELL_REPLY;
	tell(c, head, doc);
	json_decref(doc);
	client_free(c);
}

void hp_client_reply_error(struct hp_client *c, int code, const char *text)
{
	reply_error(c, (struct hp_tell_head){.code = code}, text);
}

void hp_client_turn_away(struct hp_client *c, int code, unsigned status, const char *text)
{
	reply_error(c,
		    (struct hp_tell_head){.code = code, .status = status, .flags = HP_TELL_CLOSE},
		    text);
}

void hp_client_reply_metrics(struct hp_client *c, const struct hp_buf *text)
{
	const struct hp_tell_head head = {
		.tell = HP_TELL_REPLY, .flags = HP_TELL_METRICS, .conn = c->conn};

	hp_front_tell(&c->d->front, &head, text->v, text->n);
	client_free(c);
}

static int code_of(const json_t *error)
{
	return hp_err_code(json_string_value(json_object_get(error, "code")) ?: "");
}

/* hotgo's face makes its own of the whole. */
void hp_client_answer(struct hp_client *c, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	struct hp_tell_head head = {.tell = HP_TELL_REPLY};

	if (c->stream) {
		hp_client_end(c, answer);
		return;
	}
	if (error)
		head.code = code_of(error);
	tell(c, head, error || c->from ? answer : json_object_get(answer, "result"));
	client_free(c);
}

void hp_client_stream(struct hp_client *c)
{
	const struct hp_tell_head head = {.tell = HP_TELL_STREAM, .conn = c->conn};

	c->stream = true;
	hp_front_tell(&c->d->front, &head, "", 0);
}

void hp_client_line(struct hp_client *c, const json_t *doc)
{
	tell(c, (struct hp_tell_head){.tell = HP_TELL_LINE}, doc);
}

void hp_client_end(struct hp_client *c, const json_t *last)
{
	tell(c, (struct hp_tell_head){.tell = HP_TELL_LAST}, last);
	client_free(c);
}
