/* SPDX-License-Identifier: MIT */
/*
 * target FILE THREADS [CALLERS] – the service that bench loads into.  CALLERS (1) threads do what
 * FILE (struct bench_shared) says; of the others every eighth calls a function each 10 ms, the rest
 * are blocked.  The main thread is none of them.
 */
#include "functions.h"
#include "shared.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define S_NS         1000000000u
#define WORKER_NS    10000000u
#define REST_NS      200000u
#define NAP_MAX_NS   2000000u
#define BURST_NS     1000000u
#define LATE_BURSTS  10
#define EVERY_WORKER 8

static struct bench_shared *shared;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * S_NS + (uint64_t)t.tv_nsec;
}

static void nap(uint64_t ns)
{
	struct timespec t = {.tv_nsec = (long)ns};

	nanosleep(&t, NULL);
}

void bench_stay(unsigned us)
{
	nap(us * 1000ull);
}

static void note(struct bench_caller *c, uint64_t ns)
{
	if (ns > c->longest_ns)
		__atomic_store_n(&c->longest_ns, ns, __ATOMIC_RELEASE);
}

static void call_once(struct bench_caller *c)
{
	shared->result = fn_0(1);
	__atomic_store_n(&c->calls, c->calls + 1, __ATOMIC_RELAXED);
}

/* Above one call a millisecond they come in bursts, as requests do.  What is late by more than some
 * bursts is lost and not made up for. */
static void at_rate(struct bench_caller *c)
{
	uint64_t period = S_NS / shared->rate, n = 1, now = now_ns();

	if (period < BURST_NS) {
		n = shared->rate * BURST_NS / S_NS;
		period = BURST_NS;
	}
	if (!c->due_ns)
		c->due_ns = now + (uint64_t)(c - shared->caller) * period / BENCH_CALLERS_MAX;
	if (now < c->due_ns) {
		now = c->due_ns - now;
		nap(now < NAP_MAX_NS ? now : NAP_MAX_NS);
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		shared->result = fn_0(-(int)shared->stay_us);
		note(c, now_ns() - begin);
		__atomic_store_n(&c->calls, c->calls + 1, __ATOMIC_RELAXED);
	}
	c->due_ns += period;
	if (c->due_ns + LATE_BURSTS * period < now)
		c->due_ns = now;
}

static void time_calls(void)
{
	uint64_t begin = now_ns(), n = shared->n;

	for (uint64_t i = 0; i < n; i++)
		fn_0(1);
	__atomic_store_n(&shared->took_ns, now_ns() - begin, __ATOMIC_RELEASE);
}

/* What is not watched by the clock. */
static void step(struct bench_caller *c, int what)
{
	if (what == DO_RATE) {
		at_rate(c);
		return;
	}
	if (what == DO_TIME && c == shared->caller && !shared->took_ns)
		time_calls();
	nap(REST_NS);
}

static void *caller(void *arg)
{
	struct bench_caller *c = arg;
	uint64_t last = 0;

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		unsigned window = __atomic_load_n(&shared->window, __ATOMIC_ACQUIRE);
		int what = __atomic_load_n(&shared->what, __ATOMIC_ACQUIRE);
		uint64_t now;

		if (window != c->window_seen) {
			c->longest_ns = c->due_ns = last = 0;
			__atomic_store_n(&c->window_seen, window, __ATOMIC_RELEASE);
		}
		if (what != DO_CLOCK && what != DO_CALL) {
			step(c, what);
			last = 0;
			continue;
		}
		if (what == DO_CALL)
			call_once(c);
		now = now_ns();
		if (last)
			note(c, now - last);
		last = now;
	}
	return NULL;
}

static void *worker(void *arg)
{
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	for (int i = 0;; i = (i + 1) % BENCH_FNS) {
		bench_fn[i](i);
		nap(WORKER_NS);
	}
	return NULL;
}

static void *blocked(void *arg)
{
	static int word;

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return NULL;
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 128 * 1024);
	if (pthread_create(&t, &a, fn, arg))
		exit(3);
	pthread_attr_destroy(&a);
}

int main(int argc, char **argv)
{
	int fd = argc > 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1, n, callers;

	if (fd < 0)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		return 2;
	n = atoi(argv[2]);
	callers = argc > 3 ? atoi(argv[3]) : 1;
	for (int i = 0; i < callers && i < BENCH_CALLERS_MAX; i++)
		start(caller, &shared->caller[i]);
	for (int i = callers; i < n; i++)
		start(i % EVERY_WORKER ? blocked : worker, NULL);
	for (;;)
		pause();
}
