/* SPDX-License-Identifier: MIT */
/*
 * eventloop – one function, serve_loop(), is in flight from the beginning to the end; another
 * thread calls side() all the while and notes the longest time that a call took.
 *
 * "again" makes serve_loop() return; it is called again at once.  "exec" makes the process another
 * program (retained).
 */
#include "eventloop.h"
#include "svc.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int generation; /* counted up by new code */

static unsigned long ticks, entered, side_calls, wrong;
static uint64_t longest_ns;
static bool leave_loop, ended;
static int timer;

__attribute__((noipa)) bool serve_once(int ep)
{
	struct epoll_event e;
	int n = epoll_wait(ep, &e, 1, -1);
	uint64_t expired;

	if (n < 0 && errno == EINTR)
		svc_eintr++;
	if (n != 1)
		return true;
	if (e.data.fd == timer) {
		if (read(timer, &expired, sizeof(expired)) != sizeof(expired))
			wrong++;
		ticks++;
	} else if (!svc_readable()) {
		ended = true;
	}
	return !ended && !leave_loop;
}

__attribute__((noipa)) void serve_loop(int ep)
{
	entered++;
	while (serve_once(ep))
		;
}

__attribute__((noipa)) int side(int x)
{
	return x + 1;
}

static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) & 0xffff) {
		uint64_t begin = svc_now_ns(), took;
		int r = side(x);

		took = svc_now_ns() - begin;
		if (took > longest_ns)
			longest_ns = took;
		if (r != x + 1)
			wrong++;
		side_calls++;
		if (x % 64 == 0)
			svc_nap_us(100);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out,
		",\"ticks\":%lu,\"entered\":%lu,\"generation\":%d,\"side_calls\":%lu"
		",\"longest_us\":%lu,\"wrong\":%lu",
		ticks, entered, generation, side_calls, (unsigned long)(longest_ns / 1000), wrong);
	return !wrong;
}

static void become_another(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *name = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

	if (name) {
		snprintf(name, sizeof(path) - (size_t)(name - path), "/retained");
		execl(path, path, (char *)NULL);
	}
	perror("exec");
}

static bool command(const char *line)
{
	if (!strcmp(line, "exec"))
		become_another();
	else if (!strcmp(line, "again"))
		leave_loop = true;
	else if (!strcmp(line, "generation"))
		printf("generation %d\n", generation);
	else
		return false;
	return true;
}

int main(void)
{
	static const struct svc eventloop = {"eventloop", verdict, command};
	struct itimerspec every = {.it_interval = {.tv_nsec = 5000000},
				   .it_value = {.tv_nsec = 5000000}};
	int ep = epoll_create1(EPOLL_CLOEXEC), fd[3];

	timer = fd[2] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (ep < 0 || timer < 0 || timerfd_settime(timer, 0, &every, NULL))
		return 2;
	svc_ready(&eventloop);
	svc_fds(fd);
	for (int i = 0; i < 3; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd[i]};

		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &e))
			return 2;
	}
	svc_thread(caller, NULL);
	while (!ended) {
		leave_loop = false;
		serve_loop(ep);
	}
	return svc_end();
}
