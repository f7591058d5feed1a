/* SPDX-License-Identifier: MIT */
#include "client/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"

#define ANSWER_MAX (64u << 20)
#define TICK_MS	   100

/* --- parsing ------------------------------------------------------------------------------------ */

static void take_line(struct hp_answer *r, const char *line, size_t n)
{
	json_t *doc = json_loadb(line, n, 0, NULL), *result;

	if (!doc) {
		r->error = -EBADMSG;
		return;
	}
	result = json_object_get(doc, "result");
	if (json_object_get(doc, "event")) {
		if (r->call->line)
			r->call->line(r->call->arg, doc);
	} else {
		json_decref(r->answer);
		r->answer = json_incref(result && !json_object_get(doc, "error") ? result : doc);
	}
	json_decref(doc);
}

static void take_lines(struct hp_answer *r)
{
	char *end, *at = r->body;

	while ((end = memchr(at, '\n', r->n - (size_t)(at - r->body)))) {
		take_line(r, at, (size_t)(end - at));
		at = end + 1;
	}
	r->n -= (size_t)(at - r->body);
	memmove(r->body, at, r->n);
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	struct hp_answer *r = p->data;

	r->type = n == 12 && !strncasecmp(at, "content-type", n);
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct hp_answer *r = p->data;

	r->lines = r->lines || (r->type && n >= 20 && !strncmp(at, "application/x-ndjson", 20));
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct hp_answer *r = p->data;

	if (r->n + n > ANSWER_MAX) {
		r->error = -EFBIG;
		return -1;
	}
	while (r->n + n > r->room) {
		size_t want = r->room ? 2 * r->room : 4096;
		char *bigger = realloc(r->body, want);

		if (!bigger) {
			r->error = -ENOMEM;
			return -1;
		}
		r->body = bigger;
		r->room = want;
	}
	memcpy(r->body + r->n, at, n);
	r->n += n;
	if (r->lines)
		take_lines(r);
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct hp_answer *r = p->data;

	r->done = true;
	if (!r->lines)
		take_line(r, r->body, r->n);
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* --- bytes -------------------------------------------------------------------------------------- */

static int send_all(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t k = send(fd, data, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		data += k;
		n -= (size_t)k;
	}
	return 0;
}

static int send_request(int fd, const struct hp_call *call)
{
	char *body = call->body ? json_dumps(call->body, JSON_COMPACT) : strdup("");
	char *text = NULL;
	int n, k;

	n = !body ? -1
		  : asprintf(&text,
			     "%s %s HTTP/1.1\r\nHost: hpd\r\n%sContent-Type: application/json\r\n"
			     "Content-Length: %zu\r\n\r\n%s",
			     call->method, call->path,
			     call->stream ? "Accept: application/x-ndjson\r\n" : "", strlen(body),
			     body);
	free(body);
	if (n < 0)
		return -ENOMEM;
	k = send_all(fd, text, (size_t)n);
	free(text);
	/* hpd may have refused before it took all, and what it said is there to be read. */
	return k == -EPIPE ? 0 : k;
}

static int wait_readable(int fd, const struct hp_call *call)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int k;

	while ((k = poll(&p, 1, call->tick ? TICK_MS : -1)) == 0 && call->tick)
		call->tick(call->arg);
	return k < 0 && errno != EINTR ? -errno : 0;
}

int hp_answer_begin(struct hp_answer *a, int fd, const struct hp_call *call)
{
	*a = (struct hp_answer){.call = call};
	http_parser_init(&a->parser, HTTP_RESPONSE);
	a->parser.data = a;
	return send_request(fd, call);
}

int hp_answer_read(struct hp_answer *a, int fd)
{
	char buf[16384];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (http_parser_execute(&a->parser, &settings, buf, (size_t)n) != (size_t)n && !a->error)
		a->error = -EBADMSG;
	return a->error;
}

void hp_answer_free(struct hp_answer *a)
{
	free(a->body);
	json_decref(a->answer);
	a->body = NULL;
	a->answer = NULL;
}

int hp_wire_call(int fd, const struct hp_call *call, json_t **answer, struct hp_err *err)
{
	struct hp_answer a;
	int k = hp_answer_begin(&a, fd, call);

	while (k == 0 && !a.done) {
		k = wait_readable(fd, call);
		if (k == 0)
			k = hp_answer_read(&a, fd);
	}
	if (k == 0)
		*answer = json_incref(a.answer);
	hp_answer_free(&a);
	if (k < 0)
		return hp_err_set(err, -HP_E_UNREACHABLE,
				  "hpd went away before it answered (%s); hpctl list and hpctl "
				  "status tell what was done",
				  strerror(-k));
	return 0;
}

int hp_wire_error(const json_t *answer, struct hp_err *err)
{
	const json_t *error = json_object_get(answer, "error");

	if (!error)
		return 0;
	return hp_err_set(err, hp_err_code(json_string_value(json_object_get(error, "code")) ?: ""),
			  "%s", json_string_value(json_object_get(error, "text")) ?: "refused");
}

/* --- connecting --------------------------------------------------------------------------------- */

int hp_wire_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	hp_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	*ret_fd = HP_TAKE_FD(fd);
	return 0;
}
