/* SPDX-License-Identifier: MIT */
/*
 * target FILE THREADS – the service that bench loads into.  One thread spins as FILE (struct
 * bench_shared) says; of the others every eighth calls a function each 10 ms, the rest are blocked.
 */
#include "../services/many.h"
#include "shared.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS       10000000
#define REST_NS      200000
#define EVERY_WORKER 8

static struct bench_shared *shared;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap(long ns)
{
	struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

static void call_once(void)
{
	shared->result = fn_0(1);
	__atomic_store_n(&shared->calls, shared->calls + 1, __ATOMIC_RELAXED);
}

static void time_calls(void)
{
	uint64_t begin = now_ns(), n = shared->n;

	for (uint64_t i = 0; i < n; i++)
		fn_0(1);
	__atomic_store_n(&shared->took_ns, now_ns() - begin, __ATOMIC_RELEASE);
}

static void *spinner(void *arg)
{
	uint64_t last = 0, due = 0;

	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	for (;;) {
		unsigned window = __atomic_load_n(&shared->window, __ATOMIC_ACQUIRE);
		uint64_t now;

		if (window != shared->window_seen) {
			shared->longest_ns = 0;
			last = due = 0;
			__atomic_store_n(&shared->window_seen, window, __ATOMIC_RELEASE);
		}
		switch (__atomic_load_n(&shared->spin, __ATOMIC_ACQUIRE)) {
		case SPIN_REST:
			nap(REST_NS);
			last = 0;
			continue;
		case SPIN_CLOCK:
			break;
		case SPIN_CALL:
			call_once();
			break;
		case SPIN_RATE:
			now = now_ns();
			if (!due)
				due = now;
			if (now >= due) {
				call_once();
				due += 1000000000u / shared->rate;
			}
			break;
		case SPIN_TIME:
			if (!shared->took_ns)
				time_calls();
			nap(REST_NS);
			last = 0;
			continue;
		}
		now = now_ns();
		if (last && now - last > shared->longest_ns)
			__atomic_store_n(&shared->longest_ns, now - last, __ATOMIC_RELEASE);
		last = now;
	}
	return NULL;
}

static void *worker(void *arg)
{
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
	for (int i = 0;; i = (i + 1) % MANY) {
		many_fn[i](i);
		nap(NAP_NS);
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

static void start(void *(*fn)(void *))
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 128 * 1024);
	if (pthread_create(&t, &a, fn, NULL))
		exit(3);
	pthread_attr_destroy(&a);
}

int main(int argc, char **argv)
{
	int fd = argc == 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1, n;

	if (fd < 0)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		return 2;
	n = atoi(argv[2]);
	start(spinner);
	for (int i = 1; i < n; i++)
		start(i % EVERY_WORKER ? blocked : worker);
	for (;;)
		pause();
}
