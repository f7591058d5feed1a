/* SPDX-License-Identifier: MIT */
/* daemon/reply.h – answers of hp's own interface: JSON documents, and streams of them. */
#ifndef HP_DAEMON_REPLY_H
#define HP_DAEMON_REPLY_H

#include <jansson.h>

#include "base/buf.h"

struct hp_conn;

/* One JSON document; @doc is taken (NULL: no memory to make one). */
void hp_conn_reply(struct hp_conn *c, int status, json_t *doc);
/* The document of an error, with the HTTP status that goes with @code. */
void hp_conn_reply_error(struct hp_conn *c, int code, const char *text);
/* A text of @type. */
void hp_conn_reply_text(struct hp_conn *c, const char *type, const struct hp_buf *text);
/* What is no request is answered, and then there is no telling where a next one begins. */
void hp_conn_refuse(struct hp_conn *c, int status, const char *text);

/* A stream of lines.  A line is not taken, so that many may get the same.  A client that takes
 * nothing while HP_CONN_BACKLOG waits loses lines, and is told how many. */
void hp_conn_stream_begin(struct hp_conn *c);
void hp_conn_stream_line(struct hp_conn *c, const json_t *doc);
void hp_conn_stream_end(struct hp_conn *c);
/* The last line, which is never lost, and the end. */
void hp_conn_stream_answer(struct hp_conn *c, const json_t *doc);

#endif
