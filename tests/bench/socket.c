/* SPDX-License-Identifier: MIT */
/*
 * The control socket: keep-alive clients that ask for the status, one request of each at a time, on
 * a processor of their own; hpd on another.  Beside it a server on epoll that does the same for a
 * request and nothing else: parses it, makes JSON of the document that hpd answered, sends it.  And
 * hpd again, with many connections that say nothing.
 */
#include "bench.h"

#include <errno.h>
#include <http_parser.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "../services/tied.h"

#define CLIENTS_MAX  64
#define IDLE	     10000
#define REQUESTS_MAX (1 << 20)
#define ANSWER_MAX   65536

static const char request[] = "GET /hp/v2/status HTTP/1.1\r\nHost: hpd\r\n\r\n";

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* --- the clients ------------------------------------------------------------------------- */

struct client {
	int fd;
	uint64_t asked_ns;
	size_t have, wanted; /* bytes of the answer; wanted 0: not known yet */
	char buf[ANSWER_MAX];
};

struct load {
	int clients;
	uint64_t *took; /* of each answer */
	size_t n;
	uint64_t began_ns, ended_ns;
};

static void ask(struct client *c)
{
	c->have = c->wanted = 0;
	c->asked_ns = now_ns();
	if (send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		die("request");
}

static bool answered(struct client *c)
{
	ssize_t n = recv(c->fd, c->buf + c->have, sizeof(c->buf) - 1 - c->have, 0);
	const char *length, *end;

	if (n <= 0)
		die("answer");
	c->have += (size_t)n;
	c->buf[c->have] = 0;
	if (!c->wanted && (end = strstr(c->buf, "\r\n\r\n"))) {
		length = strcasestr(c->buf, "\r\ncontent-length:");
		if (strncmp(c->buf, "HTTP/1.1 200", 12) != 0 || !length)
			die("not the status");
		c->wanted = (size_t)(end + 4 - c->buf) + strtoul(length + 17, NULL, 10);
	}
	return c->wanted && c->have >= c->wanted;
}

static void run_load(struct load *l, const char *path, uint64_t span_ns)
{
	static struct client client[CLIENTS_MAX];
	struct epoll_event ev[CLIENTS_MAX];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	l->n = 0;
	for (int i = 0; i < l->clients; i++) {
		ev[0] = (struct epoll_event){.events = EPOLLIN, .data.ptr = &client[i]};
		client[i].fd = call_connect(path);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, client[i].fd, &ev[0]))
			die("epoll_ctl");
		ask(&client[i]);
	}
	l->began_ns = now_ns();
	do {
		int n = epoll_wait(ep, ev, CLIENTS_MAX, 10000);

		if (n <= 0)
			die("no answer in 10 seconds");
		l->ended_ns = now_ns();
		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;

			if (!answered(c))
				continue;
			if (l->n < REQUESTS_MAX)
				l->took[l->n++] = now_ns() - c->asked_ns;
			ask(c);
		}
	} while (l->ended_ns - l->began_ns < span_ns);
	for (int i = 0; i < l->clients; i++)
		close(client[i].fd);
	close(ep);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static json_t *measure_one(const char *what, const char *path, int clients)
{
	struct load l = {.clients = clients, .took = calloc(REQUESTS_MAX, sizeof(*l.took))};
	double rate, p50, p99;

	if (!l.took)
		die("memory");
	run_load(&l, path, 100000000);
	run_load(&l, path, opt.quick ? NS_A_SECOND / 2 : 2ull * NS_A_SECOND);
	qsort(l.took, l.n, sizeof(*l.took), by_size);
	rate = (double)l.n * NS_A_SECOND / (double)(l.ended_ns - l.began_ns);
	p50 = (double)l.took[l.n / 2] / 1e3;
	p99 = (double)l.took[l.n * 99 / 100] / 1e3;
	free(l.took);
	fprintf(opt.table, "  %-28s %3d clients %9.0f requests/s   p50 %7.1f us   p99 %7.1f us\n", what,
		clients, rate, p50, p99);
	return json_pack("{s:s,s:i,s:f,s:f,s:f}", "what", what, "clients", clients,
			 "requests_a_second", rate, "p50_us", p50, "p99_us", p99);
}

/* --- the twin on epoll --------------------------------------------------------------------- */

static int complete(http_parser *p)
{
	*(bool *)p->data = true;
	return 0;
}

static bool serve(int fd, http_parser *p, const json_t *doc)
{
	static const http_parser_settings settings = {.on_message_complete = complete};
	char in[4096], out[ANSWER_MAX];
	bool whole = false;
	ssize_t n = recv(fd, in, sizeof(in), 0);
	char *body;
	int len;

	if (n <= 0)
		return false;
	p->data = &whole;
	http_parser_execute(p, &settings, in, (size_t)n);
	if (!whole)
		return true;
	body = json_dumps(doc, JSON_COMPACT);
	len = snprintf(out, sizeof(out),
		       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		       "Content-Length: %zu\r\n\r\n%s",
		       strlen(body), body);
	free(body);
	return send(fd, out, (size_t)len, MSG_NOSIGNAL) == len;
}

__attribute__((noreturn)) static void epoll_server(int listener, const json_t *doc)
{
	static http_parser parser[4096]; /* by descriptor */
	struct epoll_event ev[CLIENTS_MAX] = {{.events = EPOLLIN, .data.fd = listener}};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev[0]))
		die("epoll_ctl");
	for (;;) {
		int n = epoll_wait(ep, ev, CLIENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;

			if (fd == listener) {
				struct epoll_event c = {.events = EPOLLIN};

				c.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				if (c.data.fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, c.data.fd, &c))
					die("accept");
				http_parser_init(&parser[c.data.fd], HTTP_REQUEST);
			} else if (!serve(fd, &parser[fd], doc)) {
				close(fd);
			}
		}
	}
}

static pid_t start_epoll(const char *path, const json_t *doc)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 128))
		die(path);
	pid = tied_fork();
	if (pid == 0) {
		run_on(0);
		epoll_server(fd, doc);
	}
	close(fd);
	return pid;
}

/* --- many that say nothing ------------------------------------------------------------------ */

static void many_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r); /* then there are fewer */
	}
}

/* How many of @n are still connected when each has been accepted, or been closed as one too many. */
static int open_idle(const char *path, int *fd, int n)
{
	int alive = 0;
	char c;

	for (int i = 0; i < n; i++)
		fd[i] = call_connect(path);
	nap_ns(NS_A_SECOND);
	for (int i = 0; i < n; i++)
		alive += recv(fd[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	return alive;
}

json_t *measure_socket(void)
{
	static int idle[IDLE];
	json_t *rows = json_array(), *doc;
	char path[100];
	int fd, alive;
	pid_t twin;

	fprintf(opt.table, "The control socket, hpd on one processor, its clients on another:\n\n");
	run_on(1);
	many_descriptors();
	fd = call_connect(opt.one_core_path);
	doc = call_hpd(fd, "/hp/v2/status", NULL, &(int){0});
	snprintf(path, sizeof(path), "%s.epoll", opt.one_core_path);
	twin = start_epoll(path, doc);
	for (int clients = 1; clients <= CLIENTS_MAX; clients *= CLIENTS_MAX) {
		json_array_append_new(rows, measure_one("hpd", opt.one_core_path, clients));
		json_array_append_new(rows, measure_one("the same answer on epoll", path, clients));
	}
	alive = open_idle(opt.one_core_path, idle, IDLE);
	fprintf(opt.table, "  %d of %d idle connections are held:\n", alive, IDLE);
	if (alive == IDLE)
		json_array_append_new(rows, measure_one("hpd, with 10,000 idle ones",
							opt.one_core_path, 1));
	for (int i = 0; i < IDLE; i++)
		close(idle[i]);
	close(fd);
	json_decref(doc);
	kill(twin, SIGKILL);
	waitpid(twin, NULL, 0);
	return json_pack("{s:i,s:o}", "idle_connections", alive, "rows", rows);
}
