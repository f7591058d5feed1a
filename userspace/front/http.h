/* SPDX-License-Identifier: MIT */
/*
 * front/http.h – requests out of bytes, with every length limited, and the heads of answers.
 *
 * Knows nothing of sockets.  One request at a time: after HP_HTTP_REQUEST nothing more is taken
 * until hp_http_next().
 */
#ifndef HP_FRONT_HTTP_H
#define HP_FRONT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <http_parser.h>

#include "base/buf.h"

#define HP_HTTP_HEAD_MAX   (16 * 1024)
#define HP_HTTP_BODY_MAX   (1024 * 1024)
#define HP_HTTP_HEADER_MAX 64
#define HP_HTTP_URL_MAX	   1024
#define HP_HTTP_BEARER_MAX 128 /* Authorization: Bearer … */

#define HP_TYPE_JSON   "application/json"
#define HP_TYPE_NDJSON "application/x-ndjson"

struct hp_http {
	http_parser parser;
	enum { HP_HTTP_MORE, HP_HTTP_REQUEST, HP_HTTP_BAD } state;
	bool begun; /* at least one byte of the request is here */

	/* HP_HTTP_REQUEST */
	const char *method;
	char url[HP_HTTP_URL_MAX];
	size_t url_n;
	char *path, *query; /* in url; query is "" when there is none */
	bool ndjson;	    /* Accept: application/x-ndjson */
	bool connect;	    /* the method is CONNECT: what follows is no HTTP */
	bool origin;	    /* there is a header Origin: it comes from a browser's page */
	bool keep_alive;
	char bearer[HP_HTTP_BEARER_MAX + 1]; /* "": none, or too long */
	struct hp_buf body;

	/* set while the client waits for "100 Continue" before it sends the body */
	bool expects_continue;

	/* HP_HTTP_BAD */
	int status;
	char text[160];

	/* of the header that is being read */
	char name[32], value[256];
	size_t name_n, value_n, n_headers;
	bool in_value;
};

void hp_http_init(struct hp_http *h);
void hp_http_free(struct hp_http *h);

/* Takes up to @n bytes and returns how many; look at h->state then. */
size_t hp_http_feed(struct hp_http *h, const char *data, size_t n);

/* Makes ready for the next request. */
void hp_http_next(struct hp_http *h);

/* The value of "name=…" in the query, copied to @buf; false when absent or too long. */
bool hp_http_query(const struct hp_http *h, const char *name, char *buf, size_t n);

/* "Not Found" */
const char *hp_http_reason(int status);

/* Head of an answer with a body of @length bytes, or with -1 a chunked one; @allow: the header
 * Allow, or NULL.  0 or -ENOMEM. */
int hp_http_head(struct hp_buf *out, int status, const char *type, long long length,
		 bool keep_alive, const char *allow);
int hp_http_chunk(struct hp_buf *out, const void *data, size_t n); /* n = 0: the last one */

#endif
