/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include <errno.h>
#include <http_parser.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/start.h"
#include "hp/err.h"

#define ANSWER_MAX (64u << 20)
#define TICK_MS	   100

/* An answer on its way. */
struct reading {
	const struct hp_call *call;
	char *body;
	size_t n, room;
	bool lines; /* the body is a stream of lines */
	bool type;  /* the header being read is Content-Type */
	bool done;
	json_t *answer;
	int error;
};

/* --- parsing ------------------------------------------------------------------------------------ */

static void take_line(struct reading *r, const char *line, size_t n)
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
		r->answer = json_incref(result ? result : doc);
	}
	json_decref(doc);
}

static void take_lines(struct reading *r)
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
	struct reading *r = p->data;

	r->type = n == 12 && !strncasecmp(at, "content-type", n);
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	r->lines = r->lines || (r->type && n >= 20 && !strncmp(at, "application/x-ndjson", 20));
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

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
	struct reading *r = p->data;

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

static int read_answer(int fd, struct reading *r)
{
	http_parser parser;
	char buf[16384];

	http_parser_init(&parser, HTTP_RESPONSE);
	parser.data = r;
	while (!r->done && !r->error) {
		int k = wait_readable(fd, r->call);
		ssize_t n;

		if (k < 0)
			return k;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		if (http_parser_execute(&parser, &settings, buf, (size_t)n) != (size_t)n &&
		    !r->error)
			r->error = -EBADMSG;
	}
	return r->error;
}

int hp_client_call(struct hp_client *c, const struct hp_call *call, json_t **answer,
		   struct hp_err *err)
{
	struct reading r = {.call = call};
	int k = send_request(c->fd, call);

	if (k == 0)
		k = read_answer(c->fd, &r);
	free(r.body);
	if (k < 0) {
		json_decref(r.answer);
		return hp_err_set(err, -HP_E_UNREACHABLE,
				  "hpd went away before it answered (%s); hpctl list and hpctl "
				  "status tell what was done",
				  strerror(-k));
	}
	*answer = r.answer;
	return 0;
}

/* --- connecting --------------------------------------------------------------------------------- */

static int try_connect(const char *path, int *ret)
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
	*ret = HP_TAKE_FD(fd);
	return 0;
}

/* Connected is not served: a private hpd may be about to end.  Asking for its health is harmless
 * to repeat; what comes after is not. */
static int shake_hands(const char *path, int *ret, json_t **answer)
{
	const struct hp_call health = {.method = "GET", .path = "/hp/v2/health"};
	struct hp_client c = {.fd = -1};
	int k = try_connect(path, &c.fd);

	if (k < 0)
		return k;
	if (hp_client_call(&c, &health, answer, NULL) < 0 || !*answer) {
		hp_client_close(&c);
		return -ECONNREFUSED;
	}
	*ret = c.fd;
	return 0;
}

static int explain(const struct hp_cli *cli, int k, struct hp_err *err)
{
	if (k == -EACCES || k == -EPERM)
		return hp_err_set(err, -HP_E_DENIED, "%s: %s (run hpctl as root)", cli->socket,
				  strerror(-k));
	if (k != -ENOENT && k != -ECONNREFUSED)
		return hp_err_set(err, -HP_E_UNREACHABLE, "%s: %s", cli->socket, strerror(-k));
	if (!cli->may_start)
		return hp_err_set(err, -HP_E_UNREACHABLE, "no hpd serves %s", cli->socket);
	return hp_err_set(err, -HP_E_UNREACHABLE,
			  "hpd is not running (no socket at %s) and only root can start one",
			  cli->socket);
}

int hp_client_open(struct hp_client *ret, const struct hp_cli *cli, struct hp_err *err)
{
	json_t *answer = NULL, *error;
	int k = shake_hands(cli->socket, &ret->fd, &answer);

	if ((k == -ENOENT || k == -ECONNREFUSED) && cli->may_start && geteuid() == 0) {
		struct hp_start *start;

		k = hp_start_begin(&start, cli->socket, err);
		if (k < 0)
			return k;
		/* Another hpctl may have started one while we waited for our turn. */
		k = shake_hands(cli->socket, &ret->fd, &answer);
		if (k == -ENOENT || k == -ECONNREFUSED) {
			k = hp_start_hpd(start, cli->verbose, err);
			if (k == 0)
				k = shake_hands(cli->socket, &ret->fd, &answer);
			else
				return hp_start_end(start), k;
		}
		hp_start_end(start);
	}
	if (k < 0)
		return explain(cli, k, err);
	error = json_object_get(answer, "error");
	if (error) {
		k = hp_err_set(err, -HP_E_DENIED, "%s",
			       json_string_value(json_object_get(error, "text")) ?: "refused");
		hp_client_close(ret);
	}
	json_decref(answer);
	return k;
}

void hp_client_close(struct hp_client *c)
{
	hp_close(&c->fd);
}
