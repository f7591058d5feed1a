/* SPDX-License-Identifier: MIT */
#include "front/reply.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/conn.h"
#include "front/frontend.h"
#include "hp/err.h"
#include "ipc/json.h"

int hp_reply_status(int code)
{
	switch (code) {
	case -HP_E_USAGE:
	case -HP_E_BAD_REQUEST:
		return 400;
	case -HP_E_NOT_LOADED:
		return 404;
	case -HP_E_UNREACHABLE:
		return 503;
	}
	switch (hp_err_exit(code)) {
	case HP_EXIT_DONE:
		return 200;
	case HP_EXIT_DENIED:
		return 403;
	case HP_EXIT_REFUSED:
		return 409;
	case HP_EXIT_NOT_QUIESCENT:
		return 504;
	case HP_EXIT_USAGE:
		return 400;
	case HP_EXIT_FAILED:
	case HP_EXIT_PARTIAL:
		break;
	}
	return 500;
}

/* @allow: the method that there is; NULL: it was right. */
static void reply(struct hp_conn *c, int status, const char *allow, const char *type, const char *doc,
		  size_t n)
{
	const char *end = strcmp(type, HP_TYPE_JSON) ? "" : "\n";
	size_t length = n + strlen(end);

	if (hp_http_head(&c->out, status, type, (long long)length, hp_conn_keeps(c), allow) < 0 ||
	    hp_buf_add(&c->out, doc, n) < 0 || hp_buf_add(&c->out, end, strlen(end)) < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

void hp_conn_reply(struct hp_conn *c, int status, const char *type, const char *doc, size_t n)
{
	reply(c, status, NULL, type, doc, n);
}

static void reply_sentence(struct hp_conn *c, int status, const char *allow, int code,
			   const char *text)
{
	json_t *doc = hp_json_error(code, text);
	char *s = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	if (!s)
		hp_conn_no_memory(c);
	reply(c, status, allow, HP_TYPE_JSON, s ? s : "", s ? strlen(s) : 0);
	free(s);
}

void hp_conn_reply_error(struct hp_conn *c, int code, const char *text)
{
	reply_sentence(c, hp_reply_status(code), NULL, code, text);
}

void hp_conn_refuse(struct hp_conn *c, int status, const char *text)
{
	reply_sentence(c, status, NULL, -HP_E_BAD_REQUEST, text);
}

void hp_conn_refuse_method(struct hp_conn *c, const char *allow, const char *text)
{
	reply_sentence(c, 405, allow, -HP_E_BAD_REQUEST, text);
}

void hp_conn_stream_begin(struct hp_conn *c)
{
	c->stream = true;
	if (hp_http_head(&c->out, 200, HP_TYPE_NDJSON, -1, c->http.keep_alive, NULL) < 0)
		hp_conn_no_memory(c);
	hp_conn_flush(c);
}

static int put_line(struct hp_conn *c, const char *line, size_t n)
{
	struct hp_buf b = {0};
	int k = hp_buf_add(&b, line, n);

	if (k == 0)
		k = hp_buf_add(&b, "\n", 1);
	if (k == 0)
		k = hp_http_chunk(&c->out, b.v, b.n);
	hp_buf_free(&b);
	return k;
}

/* What was lost so far, and then @line. */
static void stream_line(struct hp_conn *c, const char *line, size_t n)
{
	char lost[96];
	int k = 0;

	if (c->lost) {
		snprintf(lost, sizeof(lost), "{\"schema\":1,\"event\":\"lost\",\"lines\":%u}",
			 c->lost);
		k = put_line(c, lost, strlen(lost));
		c->lost = 0;
	}
	if (k == 0)
		k = put_line(c, line, n);
	if (k < 0)
		hp_conn_no_memory(c);
}

void hp_conn_stream_line(struct hp_conn *c, const char *line, size_t n)
{
	const struct hp_record lost = {.ask = HP_ASK_LOST, .n = 1};

	if (c->closing)
		return;
	if (c->out.n > HP_CONN_BACKLOG) {
		c->lost++;
		hp_monitor_say(c->f, &lost);
		return;
	}
	stream_line(c, line, n);
	hp_conn_flush(c);
}

void hp_conn_stream_end(struct hp_conn *c, const char *line, size_t n)
{
	if (!c->closing && n)
		stream_line(c, line, n);
	if (c->closing)
		return;
	if (hp_http_chunk(&c->out, NULL, 0) < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}
