/* SPDX-License-Identifier: MIT */
#include "daemon/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/daemon.h"
#include "daemon/json_out.h"
#include "hp/err.h"

void hp_conn_reply(struct hp_conn *c, int status, json_t *doc)
{
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(doc);
	if (!text || hp_http_head(&c->out, status, HP_TYPE_JSON, (long long)n + 1,
			 hp_conn_keeps(c),
				  status == 405 ? hp_api_allowed(c->http.path) : NULL) < 0 ||
	    hp_buf_add(&c->out, text, n) < 0 || hp_buf_add(&c->out, "\n", 1) < 0)
		hp_conn_no_memory(c);
	free(text);
	hp_conn_answered(c);
}

void hp_conn_reply_text(struct hp_conn *c, const char *type, const struct hp_buf *text)
{
	if (hp_http_head(&c->out, 200, type, (long long)text->n, hp_conn_keeps(c), NULL) < 0 ||
	    hp_buf_add(&c->out, text->v, text->n) < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

void hp_conn_reply_error(struct hp_conn *c, int code, const char *text)
{
	hp_conn_reply(c, hp_api_http_status(code), hp_json_error(code, text));
}

void hp_conn_stream_begin(struct hp_conn *c)
{
	c->stream = true;
	if (hp_http_head(&c->out, 200, HP_TYPE_NDJSON, -1, c->http.keep_alive, NULL) < 0)
		hp_conn_no_memory(c);
	hp_conn_flush(c);
}

static int stream_text(struct hp_conn *c, const json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	struct hp_buf line = {text, text ? strlen(text) : 0, 0};
	int k;

	if (!text)
		return -ENOMEM;
	/* The line's newline takes the place of the string's NUL. */
	text[line.n++] = '\n';
	k = hp_http_chunk(&c->out, line.v, line.n);
	free(text);
	return k;
}

/* What was lost so far, and then @doc. */
static void stream_line(struct hp_conn *c, const json_t *doc)
{
	json_t *lost;
	int k = 0;

	if (c->lost) {
		lost = json_pack("{s:i,s:s,s:i}", "schema", 1, "event", "lost", "lines",
				 (int)c->lost);
		k = lost ? stream_text(c, lost) : -ENOMEM;
		json_decref(lost);
		c->lost = 0;
	}
	if (k == 0)
		k = stream_text(c, doc);
	if (k < 0)
		hp_conn_no_memory(c);
}

void hp_conn_stream_line(struct hp_conn *c, const json_t *doc)
{
	if (c->closing)
		return;
	if (c->out.n > HP_CONN_BACKLOG) {
		c->lost++;
		hp_metrics_add(c->d, HP_COUNT_LOST, 1);
		return;
	}
	stream_line(c, doc);
	hp_conn_flush(c);
}

void hp_conn_stream_answer(struct hp_conn *c, const json_t *doc)
{
	if (!c->closing)
		stream_line(c, doc);
	if (!c->closing)
		hp_conn_stream_end(c);
}

void hp_conn_stream_end(struct hp_conn *c)
{
	if (hp_http_chunk(&c->out, NULL, 0) < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

void hp_conn_refuse(struct hp_conn *c, int status, const char *text)
{
	hp_conn_reply(c, status, hp_json_error(-HP_E_BAD_REQUEST, text));
}
