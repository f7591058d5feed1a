/* SPDX-License-Identifier: MIT */
/* front/reply.h – answers of hp's own interface: JSON documents, and streams of them. */
#ifndef HP_FRONT_REPLY_H
#define HP_FRONT_REPLY_H

#include <stddef.h>

struct hp_conn;

/* One document of @type; one of JSON comes without the newline at its end. */
void hp_conn_reply(struct hp_conn *c, int status, const char *type, const char *doc, size_t n);
/* The document of an error, with the HTTP status that goes with @code. */
void hp_conn_reply_error(struct hp_conn *c, int code, const char *text);
/* What is no request is answered, and then there is no telling where a next one begins. */
void hp_conn_refuse(struct hp_conn *c, int status, const char *text);
/* 405, with the method that there is. */
void hp_conn_refuse_method(struct hp_conn *c, const char *allow, const char *text);

/* The HTTP status for a code as returned. */
int hp_reply_status(int code);

/* A stream of lines.  A client that takes nothing while HP_CONN_BACKLOG waits loses lines, and is told
 * how many. */
void hp_conn_stream_begin(struct hp_conn *c);
void hp_conn_stream_line(struct hp_conn *c, const char *line, size_t n);
/* The last line (n = 0: none), which is never lost, and the end. */
void hp_conn_stream_end(struct hp_conn *c, const char *line, size_t n);

#endif
