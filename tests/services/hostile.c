/* SPDX-License-Identifier: MIT */
/*
 * hostile NAME – puts itself into the state of that name (hostile_states.c), then is a server: "ask
 * N" prints answer(N), which threads check all the time.  "leave" ends the calls of linger() that
 * some states make.  The patches are the server's.
 */
#include "guards.h"
#include "hostile.h"
#include "svc.h"
#include "tied.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS	    3
#define STACK_BYTES (64 * 1024)

int counter, hostile_leave;
unsigned long hostile_calls, hostile_wrong;

static const struct hostile *state;
static unsigned running;
static int ready_fd = -1; /* of a child: to its parent */

__attribute__((noipa)) int answer(int x)
{
	return x + 1;
}

__attribute__((noipa)) int linger(int x, void (*wait)(void))
{
	while (!__atomic_load_n(&hostile_leave, __ATOMIC_SEQ_CST))
		wait();
	return x + 1;
}

void hostile_check(int x)
{
	int r = answer(x);

	if (r != x + 1 && r != x + 1000 && r != x + 2000)
		__atomic_add_fetch(&hostile_wrong, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&hostile_calls, 1, __ATOMIC_RELAXED);
}

/* A storm of signals cuts a sleep short, as it should. */
static void nap(unsigned us)
{
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

	while (nanosleep(&t, &t) && errno == EINTR)
		if (!state->signals)
			__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
}

static void *caller(void *arg)
{
	unsigned many = state->threads > 100;

	__atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
	if (state->thread)
		state->thread();
	for (int x = 0;; x = (x + 1) & 0xfff) {
		hostile_check(x);
		if (many)
			nap(2000000);
		else if (!state->spin && x % 16 == 0)
			nap(100);
	}
	return NULL;
}

/* Blocked for ever in calls that a stop must not cut short. */
static void *in_futex(void *arg)
{
	static int word;

	for (;;)
		if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *in_epoll(void *arg)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e;

	for (;;)
		if (epoll_wait(fd, &e, 1, -1) < 0 && errno == EINTR)
			__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
	return NULL;
}

static int start_thread(void *(*fn)(void *))
{
	static char *stack;
	pthread_attr_t a;
	pthread_t t;
	int r;

	if (state->guarded) {
		stack = stack ? stack + STACK_BYTES : guarded_stacks(2 + THREADS, STACK_BYTES);
		return guarded_thread(stack, STACK_BYTES, fn, NULL);
	}
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, STACK_BYTES);
	r = pthread_create(&t, &a, fn, NULL);
	pthread_attr_destroy(&a);
	return r;
}

static void start(void *(*fn)(void *))
{
	int r = start_thread(fn);

	if (r) {
		errno = r;
		hostile_cannot("pthread_create");
	}
}

static void start_threads(void)
{
	int n = state->threads ? state->threads : THREADS;

	if (!state->signals && !state->busy) {
		start(in_futex);
		if (!state->stopped)
			start(in_epoll);
	}
	for (int i = 0; i < n; i++)
		start(caller);
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST) < (unsigned)n)
		nap(1000);
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"state\":\"%s\",\"calls\":%lu,\"wrong\":%lu,\"counter\":%d", state->name,
		hostile_calls, hostile_wrong, counter);
	return !hostile_wrong && (!state->right || state->right());
}

static bool command(const char *line)
{
	if (!strcmp(line, "leave")) {
		__atomic_store_n(&hostile_leave, 1, __ATOMIC_SEQ_CST);
		puts("they may leave");
		return true;
	}
	if (strncmp(line, "ask ", 4))
		return false;
	printf("answer %d\n", answer(atoi(line + 4)));
	return true;
}

static const struct svc hostile = {"hostile", verdict, command};

/* The parent lends its name: it says that it is ready, and ends as the child does. */
static void be_a_child(void)
{
	int ready[2], status = -1;
	char byte;
	pid_t p;

	if (pipe(ready))
		hostile_cannot("pipe");
	p = tied_fork();
	if (p < 0)
		hostile_cannot("fork");
	if (!p) {
		close(ready[0]);
		ready_fd = ready[1];
		return;
	}
	close(ready[1]);
	(void)!read(ready[0], &byte, 1); /* the end: it closed it when it was ready, or died */
	printf("serves %d\nready %d\n", (int)p, (int)getpid());
	fflush(stdout);
	while (waitpid(p, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
}

int main(int argc, char **argv)
{
	for (state = hostile_table; state->name; state++)
		if (argc > 1 && !strcmp(state->name, argv[1]))
			break;
	if (!state->name) {
		fprintf(stderr, "hostile: no state is called '%s'\n", argc > 1 ? argv[1] : "");
		return 2;
	}
	if (state->early)
		state->early();
	if (state->fork)
		be_a_child();
	if (!state->alone)
		start_threads();
	if (state->late)
		state->late();
	svc_ready(&hostile);
	if (state->ready)
		state->ready();
	if (ready_fd >= 0)
		close(ready_fd);
	if (state->serve)
		state->serve();
	while (svc_step(-1))
		;
	return svc_end();
}
