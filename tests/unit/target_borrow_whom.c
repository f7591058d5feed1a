/* SPDX-License-Identifier: MIT */
/* Whom hp borrows, and whom it does not. */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "rig/target_victim.h"
#include "target/borrow.h"
#include "../services/guards.h"
#include "../services/tied.h"

#define SOON (hp_now_ns() + 3 * HP_S)

/* A process of which all threads sleep. */
struct at_rest {
	pid_t pid;
	struct hp_target *t;
	struct hp_looker *l;
};

static void open_at_rest(struct at_rest *r, void (*fn)(void), unsigned n_threads)
{
	struct victim v = {.n = n_threads};
	struct hp_err err = {0};

	r->pid = v.pid = tied_fork();
	if (v.pid == 0) {
		fn();
		_exit(1);
	}
	for (int k = 0; k < 5000 && !victim_asleep(&v, 0); k++)
		hp_pause_ns(HP_MS);
	assert_int_equal(hp_target_open(&r->t, r->pid, &err), 0);
	assert_int_equal(hp_looker_open(&r->l, r->t, NULL, &err), 0);
}

static void close_at_rest(struct at_rest *r)
{
	hp_looker_free(r->l);
	hp_target_free(r->t);
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
}

/* Threads that are in the middle of libc. */
static int compare_and_sleep(const void *a, const void *b)
{
	poll(NULL, 0, 3600 * 1000);
	return 0;
}

static void in_callback(void)
{
	static int v[2] = {1, 2};
	void *root = NULL;

	tsearch(&v[0], &root, compare_and_sleep);
	tsearch(&v[1], &root, compare_and_sleep);
}

static void in_stdio(void)
{
	int fd[2];
	char line[16];

	if (pipe(fd) == 0)
		(void)!fgets(line, sizeof(line), fdopen(fd[0], "r"));
}

static void in_mutex(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&m);
	pthread_mutex_lock(&m);
}

static void at_exit_sleep(void)
{
	poll(NULL, 0, 3600 * 1000);
}

static void in_exit(void)
{
	atexit(at_exit_sleep);
	exit(0);
}

static void come_to_rest(int signal)
{
	poll(NULL, 0, 3600 * 1000);
}

/* A signal that was blocked comes when the mask is put back, in libc. */
static void in_handler(int (*set_mask)(int, const sigset_t *, sigset_t *))
{
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	if (set_mask(SIG_BLOCK, &blocked, NULL) == 0 && signal(SIGUSR1, come_to_rest) != SIG_ERR &&
	    raise(SIGUSR1) == 0)
		set_mask(SIG_UNBLOCK, &blocked, NULL);
}

static void in_sigprocmask(void)
{
	in_handler(sigprocmask);
}

static void in_pthread_sigmask(void)
{
	in_handler(pthread_sigmask);
}

/* PostgreSQL's children live in the handler that forked them. */
static void what_a_signal_interrupted_in_the_mask_holds_nothing(void **state)
{
	void (*const good[])(void) = {in_sigprocmask, in_pthread_sigmask};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct at_rest r;
		struct hp_err err = {0};
		struct hp_borrow *b;

		open_at_rest(&r, good[i], 1);
		if (hp_borrow_begin(&b, r.t, r.l, HP_BORROW_CALL, SOON, &err) < 0)
			fail_msg("%u: %s", i, err.text);
		assert_int_equal(hp_borrow_end(b, &err), 0);
		close_at_rest(&r);
	}
}

static void the_middle_of_libc_is_no_safe_point(void **state)
{
	static const struct {
		void (*fn)(void);
		const char *says;
	} bad[] = {{in_callback, "(libc.so.6"}, {in_stdio, ""}, {in_mutex, ""}, {in_exit, "exit"}};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct at_rest r;
		struct hp_err err = {0};
		struct hp_borrow *b;

		open_at_rest(&r, bad[i].fn, 1);
		assert_int_equal(hp_borrow_begin(&b, r.t, r.l, HP_BORROW_CALL,
						 hp_now_ns() + 30 * HP_MS, &err),
				 -HP_E_NO_SAFE_POINT);
		if (!strstr(err.text, bad[i].says) || !strstr(err.text, "1 thread "))
			fail_msg("%u: %s", i, err.text);
		/* a system call is no danger there */
		assert_int_equal(hp_borrow_begin(&b, r.t, r.l, HP_BORROW_SYSCALL, SOON, &err), 0);
		assert_int_equal(hp_borrow_end(b, &err), 0);
		close_at_rest(&r);
	}
}

static void in_pause(void)
{
	for (;;)
		pause();
}

static void stopped_process_is_told(void **state)
{
	struct hp_err err = {0};
	struct hp_borrow *b;
	struct at_rest r;

	open_at_rest(&r, in_pause, 1);
	kill(r.pid, SIGSTOP);
	waitpid(r.pid, NULL, WUNTRACED);
	assert_int_equal(hp_borrow_begin(&b, r.t, r.l, HP_BORROW_SYSCALL, hp_now_ns(), &err),
			 -HP_E_NO_SAFE_POINT);
	assert_non_null(strstr(err.text, "SIGCONT"));
	close_at_rest(&r);
}

#define STACK	 (64u << 10)
#define NEARLY	 1024
#define PATTERN	 0x5a
#define COMPARED (STACK - GUARD_BYTES)

/* Mapped before the fork, the second as shared memory: */
static char *two_stacks;
static int *arrived; /* threads about to make their last call */

/* Waits with little more stack than that below it. */
static uint64_t with_little_stack(void)
{
	static volatile int never;
	volatile uint64_t calls = 1;

	/* Not by a variable's address: AddressSanitizer has those elsewhere. */
	if ((char *)__builtin_frame_address(0) > two_stacks + STACK + GUARD_BYTES + NEARLY)
		calls += with_little_stack();
	__atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
	while (!never)
		(void)syscall(SYS_futex, &never, FUTEX_WAIT, 0, NULL, NULL, 0);
	return calls;
}

static void *use_stack(void *arg)
{
	/* Not there for the first time: to bind it ld.so keeps all vector registers on the stack. */
	(void)syscall(SYS_gettid);
	with_little_stack();
	return arg;
}

/* The main thread is in a call that nobody is taken from. */
static void in_little_stack(void)
{
	static char text[65536];
	int fd[2];

	memset(two_stacks + GUARD_BYTES, PATTERN, COMPARED);
	if (guarded_thread(two_stacks + STACK, STACK, use_stack, NULL) || pipe2(fd, O_NONBLOCK))
		return;
	while (write(fd[1], text, sizeof(text)) > 0)
		;
	(void)fcntl(fd[1], F_SETFL, 0); /* of a pipe of ours it cannot fail */
	__atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
	for (;;)
		(void)!write(fd[1], text, sizeof(text));
}

/* Below a guard page that is no mapping of its own there is another thread's stack. */
static void a_neighbours_stack_is_no_room(void **state)
{
	static uint8_t below[COMPARED], pattern[COMPARED];
	struct victim v = {.n = 2};
	struct hp_err err = {0};
	struct hp_borrow *b;
	struct at_rest r;

	two_stacks = guarded_stacks(2, STACK);
	arrived = mmap(NULL, sizeof(*arrived), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	assert_ptr_not_equal(arrived, MAP_FAILED);
	open_at_rest(&r, in_little_stack, 2);
	v.pid = r.pid;
	/* On its way there it may be asleep as well. */
	for (int k = 0; k < 5000 && __atomic_load_n(arrived, __ATOMIC_SEQ_CST) < 2; k++)
		hp_pause_ns(HP_MS);
	assert_int_equal(__atomic_load_n(arrived, __ATOMIC_SEQ_CST), 2);
	for (int k = 0; k < 5000 && !victim_asleep(&v, 0); k++)
		hp_pause_ns(HP_MS);
	assert_int_equal(hp_borrow_begin(&b, r.t, r.l, HP_BORROW_SYSCALL, hp_now_ns() + 30 * HP_MS,
					 &err),
			 -HP_E_NO_SAFE_POINT);
	memset(pattern, PATTERN, COMPARED);
	assert_int_equal(hp_mem_read(r.t, (uintptr_t)two_stacks + GUARD_BYTES, below, COMPARED, &err),
			 0);
	assert_memory_equal(below, pattern, COMPARED);
	if (!strstr(err.text, "has no room"))
		fail_msg("%s", err.text);
	close_at_rest(&r);
	munmap(arrived, sizeof(*arrived));
	munmap(two_stacks, 2 * STACK + GUARD_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_middle_of_libc_is_no_safe_point),
		cmocka_unit_test(what_a_signal_interrupted_in_the_mask_holds_nothing),
		cmocka_unit_test(stopped_process_is_told),
		cmocka_unit_test(a_neighbours_stack_is_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
