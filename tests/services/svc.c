/* SPDX-License-Identifier: MIT */
#include "svc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_ROOM 256

unsigned long svc_eintr;

static const struct svc *service;
static int term_pipe[2] = {-1, -1};
static volatile sig_atomic_t term_asked;
static char line[LINE_ROOM];
static size_t line_len;

static void on_term(int sig)
{
	ssize_t ignored;

	term_asked = 1;
	ignored = write(term_pipe[1], "t", 1); /* a full pipe says the same */
	(void)ignored;
}

static bool print_verdict(void)
{
	char *fields = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&fields, &n);
	unsigned long eintr = __atomic_load_n(&svc_eintr, __ATOMIC_RELAXED);
	bool ok;

	if (!f)
		abort();
	ok = service->verdict ? service->verdict(f) : true;
	ok = ok && eintr == 0;
	fclose(f);
	printf("{\"service\":\"%s\",\"pid\":%d,\"ok\":%s,\"eintr\":%lu%s}\n", service->name,
	       (int)getpid(), ok ? "true" : "false", eintr, fields);
	fflush(stdout);
	free(fields);
	return ok;
}

void svc_ready(const struct svc *s)
{
	struct sigaction sa = {.sa_handler = on_term, .sa_flags = SA_RESTART};

	service = s;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe2(term_pipe, O_CLOEXEC | O_NONBLOCK) || sigaction(SIGTERM, &sa, NULL))
		abort();
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
}

void svc_fds(int fd[2])
{
	fd[0] = STDIN_FILENO;
	fd[1] = term_pipe[0];
}

static bool obey(const char *l)
{
	if (!strcmp(l, "quit"))
		return false;
	if (!strcmp(l, "verdict"))
		print_verdict();
	else if (!service->command || !service->command(l))
		printf("unknown command: %s\n", l);
	fflush(stdout);
	return true;
}

bool svc_readable(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char buf[LINE_ROOM];
	ssize_t n;

	if (term_asked)
		return false;
	if (poll(&p, 1, 0) <= 0)
		return true;
	n = read(STDIN_FILENO, buf, sizeof(buf));
	if (n <= 0)
		return false;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n') {
			if (line_len < sizeof(line) - 1)
				line[line_len++] = buf[i];
			continue;
		}
		line[line_len] = 0;
		line_len = 0;
		if (!obey(line))
			return false;
	}
	return true;
}

bool svc_step(int timeout_ms)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = term_pipe[0], .events = POLLIN}};
	int n = poll(p, 2, timeout_ms);

	if (n < 0 && errno == EINTR && !term_asked)
		__atomic_fetch_add(&svc_eintr, 1, __ATOMIC_RELAXED);
	if (n <= 0)
		return !term_asked;
	return svc_readable();
}

int svc_end(void)
{
	return print_verdict() ? 0 : 1;
}

uint64_t svc_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void svc_nap_us(unsigned us)
{
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

	while (nanosleep(&t, &t) && errno == EINTR)
		__atomic_fetch_add(&svc_eintr, 1, __ATOMIC_RELAXED);
}

int svc_number(int argc, char **argv, int i, int otherwise)
{
	return i < argc ? atoi(argv[i]) : otherwise;
}

void svc_thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 256 * 1024);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &a, fn, arg)) {
		perror("pthread_create");
		exit(2);
	}
	pthread_attr_destroy(&a);
}
