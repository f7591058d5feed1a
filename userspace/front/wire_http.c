/* SPDX-License-Identifier: MIT */
/*
 * The answers of Go's net/http, header by header: what the handler sets comes first, then what the
 * server adds.  hotgo's handlers look at no method.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "front/wire.h"
#include "hp/err.h"

#define TEXT_TYPE "Content-Type: text/plain; charset=utf-8\r\n"

/* Appends head and body.  @own: the headers that the handler set; then Go does not tell the type. */
static void answer(struct hp_conn *c, int status, const char *own, const struct hp_buf *body)
{
	bool keep = hp_conn_keeps(c), head = c->http.method && !strcmp(c->http.method, "HEAD");
	unsigned minor = c->http.parser.http_minor;
	time_t now = time(NULL);
	char date[64];
	struct tm tm;
	int k;

	gmtime_r(&now, &tm);
	/* hpd sets no locale. */
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	k = hp_buf_printf(&c->out, "HTTP/1.%u %d %s\r\n%sDate: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
			  minor, status, hp_http_reason(status), own, date, body->n,
			  *own ? "" : TEXT_TYPE, keep || !minor ? "" : "Connection: close\r\n");
	if (k == 0 && !head)
		k = hp_buf_add(&c->out, body->v, body->n);
	if (k < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

static void answer_text(struct hp_conn *c, int status, const char *own, const char *text)
{
	struct hp_buf body = {(char *)text, strlen(text), 0};

	answer(c, status, own, &body);
}

/* What load and unload answer. */
static void answer_result(struct hp_conn *c, int status, const char *own, const char *id,
			  const char *error)
{
	struct hp_buf body = {0};

	if (hp_hotgo_write_answer(&body, id, error) < 0)
		hp_conn_no_memory(c);
	else
		answer(c, status, own, &body);
	hp_buf_free(&body);
}

static void loaded(struct hp_conn *c, const char *id)
{
	answer_result(c, 200, "", id, "");
}

static void failed(struct hp_conn *c, const char *error)
{
	answer_result(c, 500, "", "", error);
}

static void unloaded(struct hp_conn *c, const char *error)
{
	answer_result(c, *error ? 500 : 200, "", "", error);
}

static void listed(struct hp_conn *c, const struct hp_hotgo_patch *v, size_t n)
{
	struct hp_buf body = {0};

	if (hp_hotgo_write_info(&body, v, n) < 0)
		hp_conn_no_memory(c);
	else
		answer(c, 200, "", &body);
	hp_buf_free(&body);
}

const struct hp_wire_voice hp_wire_http_voice = {
	.loaded = loaded, .unloaded = unloaded, .listed = listed, .failed = failed};

/* --- requests ------------------------------------------------------------------------------------ */

static void bad_body(struct hp_conn *c, int k, const struct hp_err *err)
{
	answer_result(c, k == -ENOMEM ? 500 : 400, "", "", err->text);
}

static void handle_load(struct hp_conn *c)
{
	struct hp_hotgo_config config;
	struct hp_err err;
	int k = hp_hotgo_read_load(c->http.body.v, c->http.body.n, &config, &err);

	if (k < 0)
		bad_body(c, k, &err);
	else
		hp_wire_load(c, &config);
}

static void handle_unload(struct hp_conn *c)
{
	struct hp_err err;
	char *id;
	int k = hp_hotgo_read_unload(c->http.body.v, c->http.body.n, &id, &err);

	if (k < 0) {
		bad_body(c, k, &err);
		return;
	}
	hp_wire_unload(c, id);
	free(id);
}

static void handle_rpc(struct hp_conn *c)
{
	if (c->http.connect)
		hp_wire_allow(c);
	else
		answer_text(c, 405, TEXT_TYPE, "405 must CONNECT\n");
}

static const struct route {
	const char *path;
	void (*handle)(struct hp_conn *c);
} routes[] = {
	{"/hp/v1/load", handle_load},
	{"/hp/v1/unload", handle_unload},
	{"/hp/v1/info", hp_wire_info},
	{"/hp", handle_rpc},
};

void hp_wire_http_denied(struct hp_conn *c, int status, const char *error)
{
	answer_result(c, status,
		      status == 401 ? TEXT_TYPE "WWW-Authenticate: Bearer\r\n" : "", "", error);
}

static void handle(struct hp_conn *c)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(routes[i].path, c->http.path)) {
			routes[i].handle(c);
			return;
		}
	answer_text(c, 404, TEXT_TYPE "X-Content-Type-Options: nosniff\r\n",
		    "404 page not found\n");
}

/* Before its handlers Go says no more than this. */
static void refuse(struct hp_conn *c, int status, const char *text)
{
	char line[256];

	snprintf(line, sizeof(line), "%d %s%s%s", status, hp_http_reason(status),
		 status == 400 ? "" : ": ", status == 400 ? "" : text);
	if (hp_buf_printf(&c->out, "HTTP/1.1 %d %s\r\n" TEXT_TYPE "Connection: close\r\n\r\n%s",
			  status, hp_http_reason(status), line) < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

const struct hp_face hp_wire_face = {
	.handle = handle, .refuse = refuse, .answer = hp_wire_told};
