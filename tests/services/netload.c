/* SPDX-License-Identifier: MIT */
/*
 * A client of servers that are restarted: netload ADDRESS THREADS [PROTOCOL]
 *
 * Each thread makes one connection (or sends one datagram) a request, and waits for the answer.
 * What becomes of every request is counted; any that was not answered is a fault.
 * PROTOCOL: line (default), http, graceful, redis, memcached.
 *
 * A line "hold" makes one more connection, which stays; "more" sends by it, "drop" closes it.  What
 * the server says there is printed after "said".
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "net.h"
#include "svc.h"

#define PATIENCE_S 60
#define FINISH_NS  10000000000ull

static const struct protocol {
	const char *name, *request, *answer;
} protocols[] = {
	{"line", "one\n", "\n"},
	{"http", "GET /file HTTP/1.0\r\n\r\n", "hello"},
	{"graceful", "GET / HTTP/1.1\r\n\r\n", ", process "},
	{"redis", "PING\r\n", "+PONG\r\n"},
	{"memcached", "version\r\n", "VERSION "},
};

static struct net_addr to;
static const struct protocol *protocol = &protocols[0];
static atomic_ulong answered, refused, reset, early, late, other;
static atomic_bool ending;
static atomic_uint running;

static void count(int errnum)
{
	switch (errnum) {
	case ECONNREFUSED:
	case ENOENT:
		refused++;
		break;
	case ECONNRESET:
	case EPIPE:
		reset++;
		break;
	case EAGAIN:
	case ETIMEDOUT:
		late++;
		break;
	default:
		fprintf(stderr, "netload: %s\n", strerror(errnum));
		other++;
	}
}

static void hear(int fd)
{
	char text[4096];
	size_t n = 0;

	while (n < sizeof(text) - 1) {
		ssize_t r = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (r < 0) {
			count(errno);
			return;
		}
		if (r == 0) {
			early++;
			return;
		}
		n += (size_t)r;
		text[n] = 0;
		if (strstr(text, protocol->answer)) {
			answered++;
			return;
		}
	}
	other++;
}

static void request(void)
{
	struct timeval patience = {PATIENCE_S, 0};
	struct linger now = {1, 0};
	int fd = socket(to.family, to.type, 0);

	if (fd < 0) {
		count(errno);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	/* Or the ports would be used up by connections in TIME_WAIT. */
	if (to.family != AF_UNIX && to.type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (connect(fd, (struct sockaddr *)&to.sa, to.len) ||
	    send(fd, protocol->request, strlen(protocol->request), MSG_NOSIGNAL) < 0)
		count(errno);
	else
		hear(fd);
	close(fd);
}

static void *requests(void *arg)
{
	while (!ending)
		request();
	running--;
	return arg;
}

/* A request that is never answered is one that was lost, also when it is the last one. */
static void finish(void)
{
	uint64_t until = svc_now_ns() + FINISH_NS;

	ending = true;
	while (running && svc_now_ns() < until)
		svc_nap_us(1000);
	late += running;
}

static bool verdict(FILE *out)
{
	unsigned long bad = refused + reset + early + late + other;

	fprintf(out,
		",\"answered\":%lu,\"refused\":%lu,\"reset\":%lu,\"early_end\":%lu,\"late\":%lu,"
		"\"other\":%lu",
		answered, refused, reset, early, late, other);
	return bad == 0;
}

static int held = -1;

static bool command(const char *line)
{
	char text[256] = "";
	ssize_t n;

	if (!strcmp(line, "drop")) {
		close(held);
		return true;
	}
	if (!strcmp(line, "hold")) {
		held = socket(to.family, to.type, 0);
		if (connect(held, (struct sockaddr *)&to.sa, to.len))
			count(errno);
	} else if (strcmp(line, "more") != 0) {
		return false;
	}
	n = send(held, "hold\n", 5, MSG_NOSIGNAL) == 5 ? recv(held, text, sizeof(text) - 1, 0) : -1;
	printf("said %s%s", n < 0 ? strerror(errno) : text, n > 0 ? "" : "\n");
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc me = {
		.name = "netload", .verdict = verdict, .command = command};

	if (argc < 3)
		return 2;
	to = net_parse(argv[1]);
	for (size_t i = 0; argc > 3 && i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcmp(protocols[i].name, argv[3]))
			protocol = &protocols[i];
	running = (unsigned)atoi(argv[2]);
	for (unsigned i = running; i > 0; i--)
		svc_thread(requests, NULL);
	svc_ready(&me);
	while (svc_step(-1))
		;
	finish();
	return svc_end();
}
