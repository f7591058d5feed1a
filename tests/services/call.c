/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (1 << 20)
#define TIMEOUT_MS 30000

int call_park_ms = 50;

static char buf[ANSWER_MAX];
static json_t *last;

__attribute__((noreturn)) static void fail(const char *what)
{
	perror(what);
	exit(2);
}

int call_connect(const char *socket_path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 120};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail(socket_path);
	return fd;
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			fail("send to hpd");
		p += w;
		n -= (size_t)w;
	}
}

/* Without a @body it is a GET. */
static void send_request(int fd, const char *path, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("");
	char head[512];
	int n;

	if (!text)
		fail("JSON");
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: hp\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\n\r\n",
		     body ? "POST" : "GET", path, strlen(text));
	send_all(fd, head, (size_t)n);
	send_all(fd, text, strlen(text));
	free(text);
}

json_t *call_hpd(int fd, const char *path, json_t *body, int *status)
{
	size_t have = 0, wanted = 0;
	char *content = NULL;
	json_error_t at;
	json_t *answer;

	send_request(fd, path, body);
	json_decref(body);
	while (!content || have < wanted) {
		ssize_t n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);

		if (n <= 0)
			fail("answer of hpd");
		have += (size_t)n;
		buf[have] = 0;
		if (!content && (content = strstr(buf, "\r\n\r\n"))) {
			const char *length = strcasestr(buf, "\r\ncontent-length:");

			if (!length || sscanf(buf, "HTTP/1.1 %d", status) != 1)
				fail("hpd's answer is not understood");
			content += 4;
			wanted = (size_t)(content - buf) + strtoul(length + 17, NULL, 10);
		}
	}
	answer = json_loads(content, 0, &at);
	if (!answer)
		fail("hpd's answer is no JSON");
	return answer;
}

static const json_t *call(int fd, const char *path, json_t *body, const json_t **ret)
{
	int status = 0;

	json_decref(last);
	last = call_hpd(fd, path, body, &status);
	*ret = last;
	if (status == 200)
		return last;
	fprintf(stderr, "%s: %d %s\n", path, status,
		json_string_value(json_object_get(json_object_get(last, "error"), "text")));
	return NULL;
}

const char *call_load(int fd, pid_t pid, const char *patch_path, const char *quiesce,
		      const json_t **answer)
{
	json_t *body =
		json_pack("{s:i,s:s,s:s,s:i,s:i}", "pid", (int)pid, "file", patch_path, "quiesce",
			  quiesce, "timeout_ms", TIMEOUT_MS, "park_ms", call_park_ms);
	const json_t *ok = call(fd, "/hp/v2/load", body, answer);

	return ok ? json_string_value(json_object_get(ok, "hp_id")) : NULL;
}

int call_unload(int fd, pid_t pid, const char *id, const char *quiesce, const json_t **answer)
{
	json_t *body = json_pack("{s:i,s:s,s:s,s:i,s:i}", "pid", (int)pid, "id", id, "quiesce",
				 quiesce, "timeout_ms", TIMEOUT_MS, "park_ms", call_park_ms);
	const json_t *ok = call(fd, "/hp/v2/unload", body, answer);

	return !ok ? -1 : json_is_true(json_object_get(ok, "retained"));
}
