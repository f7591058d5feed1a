/* SPDX-License-Identifier: MIT */
/* What a borrowed thread can be made to do, and that it does not notice. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "rig/target_victim.h"
#include "target/borrow.h"
#include "target/resolve.h"
#include "../services/tied.h"

#define SOON (hp_now_ns() + 3 * HP_S)

/* Mapped before the fork, so at the same address in the child: the stub, and the result word. */
static uint8_t *stub_page;
static uint64_t *result_word;

struct rig {
	struct victim *v;
	struct hp_target *t;
	struct hp_looker *l;
	struct hp_borrow *b;
};

static int map_stub(void **state)
{
	stub_page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	result_word = (uint64_t *)(stub_page + 4096);
	if (stub_page == MAP_FAILED ||
	    hp_borrow_stub_fill(stub_page, (uintptr_t)stub_page, (uintptr_t)result_word) < 0)
		return -1;
	return mprotect(stub_page, 4096, PROT_READ | PROT_EXEC);
}

static void open_rig(struct rig *r, const unsigned *kinds, unsigned n)
{
	struct hp_err err = {0};

	r->v = victim_start(kinds, n);
	if (hp_target_open(&r->t, r->v->pid, &err) < 0 ||
	    hp_looker_open(&r->l, r->t, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_rig(struct rig *r, const unsigned *kinds)
{
	victim_finish(r->v, kinds);
	hp_looker_free(r->l);
	hp_target_free(r->t);
	victim_free(r->v);
}

static void borrow(struct rig *r, enum hp_borrow_need need)
{
	struct hp_err err = {0};

	if (hp_borrow_begin(&r->b, r->t, r->l, need, SOON, &err) < 0)
		fail_msg("%s", err.text);
}

static void give_back(struct rig *r)
{
	struct hp_err err = {0};

	if (hp_borrow_end(r->b, &err) < 0)
		fail_msg("%s", err.text);
}

static void system_calls_in_a_borrowed_thread(void **state)
{
	for (unsigned kind = 0; kind < VICTIM_KINDS; kind++) {
		const uint64_t none[6] = {0};
		struct rig r;

		open_rig(&r, &kind, 1);
		for (int i = 0; i < 10; i++) {
			uint64_t args[6] = {0}, set = 0;
			size_t n;

			borrow(&r, HP_BORROW_SYSCALL);
			assert_int_equal(hp_borrow_tid(r.b), r.v->pid);
			assert_int_equal(hp_borrow_syscall(r.b, SYS_getpid, none), r.v->pid);
			assert_int_equal(hp_borrow_syscall(r.b, SYS_close, (uint64_t[6]){9999}),
					 -EBADF);
			/* all signals are blocked */
			args[2] = hp_borrow_scratch(r.b, &n);
			args[3] = 8;
			assert_true(n >= 4096);
			assert_int_equal(hp_borrow_syscall(r.b, SYS_rt_sigprocmask, args), 0);
			assert_int_equal(hp_mem_read(r.t, args[2], &set, 8, NULL), 0);
			assert_int_equal(~set & ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1)), 0);
			give_back(&r);
		}
		close_rig(&r, &kind);
	}
}

/* What is called in the victim. */
static uint64_t sum(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
}

static uint64_t uses_libc(uint64_t n)
{
	char text[64];
	void *p = malloc(1000 + n);
	double x = 1.5;

	__asm__ volatile("fldpi\n\tfstp %%st(0)\n\tpxor %%xmm7, %%xmm7" ::: "xmm7");
	(void)snprintf(text, sizeof(text), "%g %llu", x * (double)n, (unsigned long long)n);
	free(p);
	return strlen(text) + (p != NULL);
}

static uint64_t aligned(void)
{
	_Alignas(16) uint8_t v[16];

	__asm__ volatile("movaps %%xmm0, %0" : "=m"(v));
	return ((uintptr_t)__builtin_dwarf_cfa() & 15) == 0;
}

static uint64_t crashes(void)
{
	__asm__ volatile("movl $1, 0x1234");
	return 0;
}

static uint64_t traps(void)
{
	__asm__ volatile("ud2");
	return 0;
}

static uint64_t exits(void)
{
	_exit(9);
}

static uint64_t ends_thread(void)
{
	return (uint64_t)syscall(SYS_exit, 3);
}

static uint64_t executes(void)
{
	static char name[] = "true", *const args[] = {name, NULL};

	/* Not execl(3): that is a frame of libc's under the system call's own. */
	return (uint64_t)execve("/bin/true", args, NULL);
}

static uint64_t spins_for_ever(void)
{
	static volatile int never;

	while (!never)
		;
	return 0;
}

static uint64_t sleeps(void)
{
	struct timespec t = {0, 300 * 1000 * 1000};

	nanosleep(&t, NULL);
	return 77;
}

static int64_t call(struct rig *r, void *fn, const uint64_t *args, size_t n, uint64_t deadline_ns,
		    struct hp_err *err)
{
	/* Only the function's own code may be abandoned; none of them is longer. */
	const struct hp_range text = {(uintptr_t)fn, (uintptr_t)fn + 256};
	uint64_t value = 0;
	int e;

	e = hp_borrow_call(r->b, (uintptr_t)fn, args, n, (uintptr_t)stub_page,
			   (uintptr_t)result_word, deadline_ns, text, &value, err);
	return e < 0 ? e : (int64_t)value;
}

static void calls_functions(const unsigned *kinds, unsigned n)
{
	const uint64_t six[6] = {1, 2, 3, 4, 5, 6};
	struct hp_err err = {0};
	struct rig r;

	open_rig(&r, kinds, n);
	for (int i = 0; i < 10; i++) {
		borrow(&r, HP_BORROW_CALL);
		assert_int_equal(call(&r, sum, six, 6, SOON, &err), 91);
		assert_int_equal(call(&r, uses_libc, six, 1, SOON, &err), 6);
		assert_int_equal(call(&r, aligned, NULL, 0, SOON, &err), 1);
		assert_int_equal(call(&r, sleeps, NULL, 0, SOON, &err), 77);
		assert_int_equal(hp_borrow_syscall(r.b, SYS_getpid, six), r.v->pid);
		/* without a stub there is no result */
		assert_int_equal(hp_borrow_call(r.b, (uintptr_t)aligned, NULL, 0, 0, 0, SOON,
						(struct hp_range){0, 0}, NULL, &err),
				 0);
		give_back(&r);
	}
	close_rig(&r, kinds);
}

static void calls_in_a_blocked_thread(void **state)
{
	const unsigned sleep = VICTIM_SLEEP, poll = VICTIM_POLL;

	calls_functions(&sleep, 1);
	calls_functions(&poll, 1);
}

static void calls_in_a_running_thread(void **state)
{
	const unsigned spin = VICTIM_SPIN;

	calls_functions(&spin, 1);
}

static void a_bad_function_harms_nobody(void **state)
{
	static const struct {
		uint64_t (*fn)(void);
		const char *says;
	} bad[] = {
		{crashes, "SIGSEGV"},	   {traps, "SIGILL"},
		{exits, "end the process"}, {ends_thread, "end its thread"},
		{executes, "execute"},	   {spins_for_ever, "abandoned"},
	};
	const unsigned kinds[] = {VICTIM_SPIN, VICTIM_POLL, VICTIM_SLEEP};
	struct hp_err err = {0};
	struct rig r;

	open_rig(&r, kinds, 3);
	for (unsigned i = 0; i < 3 * sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned k = i % (sizeof(bad) / sizeof(bad[0]));

		borrow(&r, HP_BORROW_CALL);
		if (call(&r, bad[k].fn, NULL, 0, hp_now_ns() + 50 * HP_MS, &err) != -HP_E_HOOK ||
		    !strstr(err.text, bad[k].says))
			fail_msg("instead of \"%s\": %s", bad[k].says, err.text);
		/* and the next one goes well */
		assert_int_equal(call(&r, sum, (uint64_t[6]){1}, 6, SOON, &err), 1);
		give_back(&r);
	}
	close_rig(&r, kinds);
}

static void what_cannot_be_abandoned_runs_on(void **state)
{
	const unsigned kinds[] = {VICTIM_POLL, VICTIM_FUTEX};
	struct hp_err err = {0};
	struct rig r;

	open_rig(&r, kinds, 2);
	borrow(&r, HP_BORROW_CALL);
	assert_int_equal(call(&r, sleeps, NULL, 0, hp_now_ns() + 20 * HP_MS, &err), -HP_E_PARTIAL);
	give_back(&r);
	hp_pause_ns(400 * HP_MS); /* the function's own sleep */
	for (int i = 0; i < 5000 && !victim_asleep(r.v, 0); i++)
		hp_pause_ns(HP_MS);
	borrow(&r, HP_BORROW_CALL);
	give_back(&r);
	close_rig(&r, kinds);
}

/* Signals that come while a thread is borrowed arrive afterwards. */
static void signals_wait(void **state)
{
	const unsigned kind = VICTIM_SLEEP;
	struct hp_err err = {0};
	struct rig r;

	open_rig(&r, &kind, 1);
	borrow(&r, HP_BORROW_CALL);
	r.v->asked = 1;
	kill(r.v->pid, SIGUSR1);
	assert_int_equal(call(&r, sleeps, NULL, 0, SOON, &err), 77);
	assert_int_equal(r.v->back + r.v->faults, 0);
	give_back(&r);
	for (int i = 0; i < 5000 && !r.v->back; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(r.v->back, 1);
	assert_int_equal(r.v->faults, 0);
	hp_looker_free(r.l);
	hp_target_free(r.t);
	victim_free(r.v);
}

static void *nothing(void *arg)
{
	return arg;
}

static _Noreturn void bear_threads(_Atomic unsigned *born)
{
	pthread_t t;

	for (;; ++*born)
		if (pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL))
			_exit(1);
}

static bool grows(const _Atomic unsigned *born)
{
	unsigned was = *born;

	for (int i = 0; i < 2000 && *born < was + 2; i++)
		hp_pause_ns(HP_MS);
	return *born >= was + 2;
}

/* A thread that asks for another while hp stops it: the other one is nobody's to hold. */
static void who_is_born_meanwhile_runs_on(void **state)
{
	_Atomic unsigned *born = mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const uint64_t none[6] = {0};
	struct victim v;
	struct rig r = {.v = &v};
	struct hp_err err;

	v.pid = tied_fork();
	if (v.pid == 0)
		bear_threads(born);
	assert_true(grows(born));
	if (hp_target_open(&r.t, v.pid, &err) < 0 || hp_looker_open(&r.l, r.t, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < 300; i++) {
		borrow(&r, HP_BORROW_SYSCALL);
		assert_int_equal(hp_borrow_syscall(r.b, SYS_getpid, none), v.pid);
		give_back(&r);
		assert_true(grows(born));
	}
	kill(v.pid, SIGKILL);
	waitpid(v.pid, NULL, 0);
	hp_looker_free(r.l);
	hp_target_free(r.t);
	munmap(born, HP_PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_calls_in_a_borrowed_thread),
		cmocka_unit_test(calls_in_a_blocked_thread),
		cmocka_unit_test(calls_in_a_running_thread),
		cmocka_unit_test(a_bad_function_harms_nobody),
		cmocka_unit_test(what_cannot_be_abandoned_runs_on),
		cmocka_unit_test(signals_wait),
		cmocka_unit_test(who_is_born_meanwhile_runs_on),
	};

	return cmocka_run_group_tests(tests, map_stub, NULL);
}
