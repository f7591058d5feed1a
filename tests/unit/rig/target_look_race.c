/* SPDX-License-Identifier: MIT */
/* Looks at threads that run: what they say before and after a look decides whether it was right. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hp/err.h"
#include "target_truth.h"

#define LOOKS	  2000
#define LOOKS_MAX 50000
#define CERTAIN	  50 /* looks during which the thread did not move */

static NOINLINE void pass_time(void)
{
	struct timespec t = {0, 30000};
	static __thread unsigned n;

	switch (n++ % 4) {
	case 0:
		nanosleep(&t, NULL);
		break;
	case 1:
		sched_yield();
		break;
	default:
		for (volatile int i = 0; i < 3000; i++)
			;
	}
}

static __thread struct truth_thread *mine;

static NOINLINE void inside_body(void)
{
	mine->inside++;
	pass_time();
	mine->inside++;
}

static void on_tick(int sig)
{
	struct timespec t = {0, 20000};

	nanosleep(&t, NULL);
}

static void *truth_thread_main(void *arg)
{
	static __thread uint8_t stack[32 << 10];
	stack_t st = {.ss_sp = stack, .ss_size = sizeof(stack)};

	mine = arg;
	sigaltstack(&st, NULL);
	mine->tid = (int)syscall(SYS_gettid);
	for (unsigned i = 0;; i++) {
		mine->outside++;
		watched_fn((int)(i % 5), inside_body);
		mine->outside++;
		pass_time();
	}
	return NULL;
}

static void child_truth(void)
{
	sigaction(SIGUSR1,
		  &(struct sigaction){.sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART}, NULL);
	for (int i = 0; i < TRUTH_THREADS; i++) {
		pthread_t id;

		pthread_create(&id, NULL, truth_thread_main, &truth->thread[i]);
	}
	for (int i = 0; i < TRUTH_THREADS; i++)
		while (!truth->thread[i].tid)
			sched_yield();
	truth->ready = 1;
	for (unsigned i = 0;; i++) {
		struct timespec t = {0, 500000};

		nanosleep(&t, NULL);
		syscall(SYS_tgkill, getpid(), truth->thread[i % TRUTH_THREADS].tid, SIGUSR1);
	}
}

void look_never_lies(void **state)
{
	unsigned count[5] = {0}, certain_in = 0, certain_out = 0;
	struct truth_rig r;

	truth_open(&r, child_truth);
	for (int i = 0; i < LOOKS_MAX && (i < LOOKS || certain_in < CERTAIN || certain_out < CERTAIN);
	     i++) {
		struct truth_thread *th = &truth->thread[i % TRUTH_THREADS];
		uint64_t in = th->inside, out = th->outside;
		struct hp_err err = {0};
		struct hp_seen seen;
		bool still_in, still_out;

		if (hp_look(r.l, th->tid, &r.scene, &seen, NULL, NULL, &err) < 0)
			fail_msg("%s", err.text);
		still_in = in == th->inside && in % 2 == 1;
		still_out = out == th->outside && out % 2 == 0;
		count[seen.verdict]++;
		certain_in += still_in;
		certain_out += still_out;
		if (still_in)
			assert_int_equal(seen.verdict, HP_SEEN_INSIDE);
		if (still_out)
			assert_int_equal(seen.verdict, HP_SEEN_OUTSIDE);
	}
	print_message("outside %u inside %u again %u unknown %u; certain: %u in, %u out\n",
		      count[HP_SEEN_OUTSIDE], count[HP_SEEN_INSIDE], count[HP_SEEN_AGAIN],
		      count[HP_SEEN_UNKNOWN], certain_in, certain_out);
	print_message("looks %llu stopped %llu torn %llu unwound %llu\n",
		      (unsigned long long)hp_looker_stats(r.l)->looks,
		      (unsigned long long)hp_looker_stats(r.l)->stopped,
		      (unsigned long long)hp_looker_stats(r.l)->torn,
		      (unsigned long long)hp_looker_stats(r.l)->unwound);
	assert_true(certain_in >= CERTAIN);
	assert_true(certain_out >= CERTAIN);
	assert_int_equal(count[HP_SEEN_GONE], 0);
	truth_close(&r);
}
