/* SPDX-License-Identifier: MIT */
#include "front/http.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 3, 4))) static int bad(struct hp_http *h, int status,
						     const char *fmt, ...)
{
	va_list ap;

	h->state = HP_HTTP_BAD;
	h->status = status;
	va_start(ap, fmt);
	vsnprintf(h->text, sizeof(h->text), fmt, ap);
	va_end(ap);
	return -1;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct hp_http *h = p->data;

	if (h->url_n + n >= sizeof(h->url))
		return bad(h, 414, "the request's path is longer than %zu bytes",
			   sizeof(h->url) - 1);
	memcpy(h->url + h->url_n, at, n);
	h->url_n += n;
	return 0;
}

static void keep(char *to, size_t room, size_t *n, const char *at, size_t add)
{
	if (add > room - 1 - *n)
		add = room - 1 - *n;
	memcpy(to + *n, at, add);
	*n += add;
	to[*n] = 0;
}

static void header_done(struct hp_http *h)
{
	if (!strcasecmp(h->name, "accept") && strstr(h->value, HP_TYPE_NDJSON))
		h->ndjson = true;
	if (!strcasecmp(h->name, "expect") && !strcasecmp(h->value, "100-continue"))
		h->expects_continue = true;
	if (!strcasecmp(h->name, "origin"))
		h->origin = true;
	if (!strcasecmp(h->name, "authorization") && !strncasecmp(h->value, "bearer ", 7) &&
	    strlen(h->value + 7) <= HP_HTTP_BEARER_MAX)
		memcpy(h->bearer, h->value + 7, strlen(h->value + 7) + 1);
	h->name_n = h->value_n = 0;
	h->name[0] = h->value[0] = 0;
	h->in_value = false;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	struct hp_http *h = p->data;

	if (h->in_value)
		header_done(h);
	if (!h->name_n && ++h->n_headers > HP_HTTP_HEADER_MAX)
		return bad(h, 431, "the request has more than %d headers", HP_HTTP_HEADER_MAX);
	keep(h->name, sizeof(h->name), &h->name_n, at, n);
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct hp_http *h = p->data;

	h->in_value = true;
	keep(h->value, sizeof(h->value), &h->value_n, at, n);
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	struct hp_http *h = p->data;

	if (h->in_value)
		header_done(h);
	if (p->http_major != 1)
		return bad(h, 505, "HTTP/%u.%u is not spoken here", p->http_major, p->http_minor);
	h->connect = p->method == HTTP_CONNECT;
	if (p->upgrade && !h->connect)
		return bad(h, 400, "upgrading the connection is not supported");
	if (p->content_length != ULLONG_MAX && p->content_length > HP_HTTP_BODY_MAX)
		return bad(h, 413, "the request's body is larger than %d bytes", HP_HTTP_BODY_MAX);
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct hp_http *h = p->data;

	h->expects_continue = false;
	if (h->body.n + n > HP_HTTP_BODY_MAX)
		return bad(h, 413, "the request's body is larger than %d bytes", HP_HTTP_BODY_MAX);
	if (hp_buf_add(&h->body, at, n) < 0)
		return bad(h, 503, "no memory for the request's body");
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct hp_http *h = p->data;

	h->state = HP_HTTP_REQUEST;
	h->expects_continue = false;
	h->keep_alive = http_should_keep_alive(p) && !h->connect;
	h->method = http_method_str((enum http_method)p->method);
	h->url[h->url_n] = 0;
	h->path = h->url;
	h->query = strchr(h->url, '?');
	if (h->query)
		*h->query++ = 0;
	else
		h->query = h->url + h->url_n;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void hp_http_init(struct hp_http *h)
{
	*h = (struct hp_http){0};
	http_parser_set_max_header_size(HP_HTTP_HEAD_MAX);
	http_parser_init(&h->parser, HTTP_REQUEST);
	h->parser.data = h;
}

void hp_http_free(struct hp_http *h)
{
	hp_buf_free(&h->body);
}

void hp_http_next(struct hp_http *h)
{
	hp_http_free(h);
	hp_http_init(h);
}

size_t hp_http_feed(struct hp_http *h, const char *data, size_t n)
{
	enum http_errno e;
	size_t used;

	if (h->state != HP_HTTP_MORE || !n)
		return 0;
	h->begun = true;
	used = http_parser_execute(&h->parser, &settings, data, n);
	e = HTTP_PARSER_ERRNO(&h->parser);
	if (h->state == HP_HTTP_BAD || h->state == HP_HTTP_REQUEST || e == HPE_OK)
		return used;
	if (e == HPE_HEADER_OVERFLOW)
		bad(h, 431, "the request's headers are larger than %d bytes", HP_HTTP_HEAD_MAX);
	else
		bad(h, 400, "malformed HTTP: %s", http_errno_description(e));
	return used;
}

bool hp_http_query(const struct hp_http *h, const char *name, char *buf, size_t n)
{
	size_t name_n = strlen(name);

	for (const char *q = h->query; *q;) {
		size_t len = strcspn(q, "&");

		if (len > name_n && !strncmp(q, name, name_n) && q[name_n] == '=') {
			if (len - name_n - 1 >= n)
				return false;
			memcpy(buf, q + name_n + 1, len - name_n - 1);
			buf[len - name_n - 1] = 0;
			return true;
		}
		q += len;
		q += *q == '&';
	}
	return false;
}

const char *hp_http_reason(int status)
{
	switch (status) {
#define REASON(num, name, string)                                                                  \
	case num:                                                                                  \
		return #string;
		HTTP_STATUS_MAP(REASON)
#undef REASON
	}
	return "Unknown";
}

int hp_http_head(struct hp_buf *out, int status, const char *type, long long length,
		 bool keep_alive, const char *allow)
{
	char framing[64];

	if (length < 0)
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked");
	else
		snprintf(framing, sizeof(framing), "Content-Length: %lld", length);
	return hp_buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s\r\n%s%s%s%s\r\n",
			     status, hp_http_reason(status), type, framing,
			     keep_alive ? "" : "Connection: close\r\n", allow ? "Allow: " : "",
			     allow ? allow : "", allow ? "\r\n" : "");
}

int hp_http_chunk(struct hp_buf *out, const void *data, size_t n)
{
	int k = hp_buf_printf(out, "%zx\r\n", n);

	if (k == 0)
		k = hp_buf_add(out, data, n);
	if (k == 0)
		k = hp_buf_add(out, "\r\n", 2);
	return k;
}
