/* SPDX-License-Identifier: MIT */
/*
 * hammer ADDRESS THREADS – asks an HTTP service for "/", a connection a request, as fast as it
 * answers: ADDRESS is a port of 127.0.0.1 or the path of a unix socket.  What is refused, reset or
 * cut short is an error, and the first is told on stderr.
 */
#include "svc.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static union {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
} where;
static socklen_t where_len;
static atomic_ulong requests, errors;

static const char *ask_on(int fd)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: hammer\r\n\r\n";
	char answer[4096];
	const char *length, *body;
	ssize_t n = 0, k = 1;

	if (connect(fd, &where.any, where_len) < 0)
		return "connect";
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		return "send";
	while (k > 0 && n < (ssize_t)sizeof(answer) - 1) {
		k = recv(fd, answer + n, sizeof(answer) - 1 - (size_t)n, 0);
		n += k > 0 ? k : 0;
	}
	if (k < 0)
		return "recv";
	answer[n] = 0;
	length = strcasestr(answer, "content-length: ");
	body = strstr(answer, "\r\n\r\n");
	if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !length || !body ||
	    (long)strlen(body + 4) != strtol(length + 16, NULL, 10)) {
		errno = EBADMSG;
		return "answer";
	}
	return NULL;
}

static void *work(void *arg)
{
	for (;;) {
		int fd = socket(where.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		const char *failed = fd < 0 ? "socket" : ask_on(fd);

		if (failed && atomic_fetch_add(&errors, 1) == 0)
			fprintf(stderr, "hammer: %s: %m\n", failed);
		atomic_fetch_add(&requests, 1);
		close(fd);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	unsigned long n = errors;

	fprintf(out, ",\"requests\":%lu,\"errors\":%lu", (unsigned long)requests, n);
	return n == 0;
}

int main(int argc, char **argv)
{
	static const struct svc hammer = {.name = "hammer", .verdict = verdict};
	const char *address = argc > 1 ? argv[1] : "";

	if (*address == '/') {
		where.un.sun_family = AF_UNIX;
		strncpy(where.un.sun_path, address, sizeof(where.un.sun_path) - 1);
		where_len = sizeof(where.un);
	} else {
		where.in.sin_family = AF_INET;
		where.in.sin_port = htons((uint16_t)svc_number(argc, argv, 1, 0));
		where.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		where_len = sizeof(where.in);
	}
	for (int i = svc_number(argc, argv, 2, 4); i > 0; i--)
		svc_thread(work, NULL);
	svc_ready(&hammer);
	while (svc_step(-1))
		;
	return svc_end();
}
