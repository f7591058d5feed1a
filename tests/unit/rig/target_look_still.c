/* SPDX-License-Identifier: MIT */
/* Looks at threads that stand still. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target_truth.h"
#include "../../services/guards.h"
#include "../../services/tied.h"

static void sees(void (*child)(void), enum hp_verdict verdict, size_t n_calls)
{
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child);
	assert_int_equal(truth_look(&r, &seen), verdict);
	assert_int_equal(seen.n_calls, n_calls);
	truth_close(&r);
}

static void child_inside(void)
{
	watched_first(2);
}

static void sees_a_sleeper_inside(void **state)
{
	struct hp_stack stack = {0};
	struct hp_seen seen;
	struct hp_err err = {0};
	struct truth_rig r;
	char text[700];
	size_t in = 0;

	truth_open(&r, child_inside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seen.call[i].fn, 0);
	assert_int_equal(seen.call[3].fn, 1);
	assert_int_equal(seen.call[3].sp, truth->cfa - 8);
	assert_true(seen.call[0].sp < seen.call[1].sp);
	assert_true(hp_in(r.part[0].range, seen.blocked_pc));
	assert_int_equal(seen.stopped, !truth_progs);
	hp_look_where(r.l, &seen, text, sizeof(text));
	assert_non_null(strstr(text, "watched_fn"));

	assert_int_equal(hp_look_stack(r.l, truth->tid, &stack, &err), 0);
	for (size_t i = 0; i < stack.n; i++)
		in += strstr(stack.v[i].text, "watched_fn ") == stack.v[i].text;
	assert_int_equal(in, 3);
	hp_stack_free(&stack);
	truth_close(&r);
}

static void child_outside(void)
{
	bystander();
}

static void is_not_misled_by_pointers(void **state)
{
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child_outside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	assert_int_equal(seen.n_calls, 0);
	assert_int_equal(hp_looker_stats(r.l)->scan_hits, 1);
	truth_close(&r);
}

static void child_deep(void)
{
	watched_first(20000);
}

static void sees_the_outermost_of_many(void **state)
{
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child_deep);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, HP_CALLS_MAX);
	assert_int_equal(seen.call[HP_CALLS_MAX - 1].fn, 1);
	assert_int_equal(seen.call[HP_CALLS_MAX - 1].sp, truth->cfa - 8);
	truth_close(&r);
}

static uint8_t alternate[64 << 10];

static void on_alarm(int sig)
{
	truth_wait();
}

static void use_alternate(void)
{
	stack_t st = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

	sigaltstack(&st, NULL);
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_ONSTACK}, NULL);
}

static void raise_alarm(void)
{
	raise(SIGALRM);
}

static void child_interrupted_inside(void)
{
	use_alternate();
	watched_fn(1, raise_alarm);
}

static void follows_a_signal_to_another_stack(void **state)
{
	sees(child_interrupted_inside, HP_SEEN_INSIDE, 2);
}

static void child_interrupted_outside(void)
{
	use_alternate();
	raise_alarm();
}

static void signal_outside_is_outside(void **state)
{
	sees(child_interrupted_outside, HP_SEEN_OUTSIDE, 0);
}

static void *thread_inside(void *arg)
{
	watched_first(0);
	return NULL;
}

static void *thread_outside(void *arg)
{
	bystander();
	return NULL;
}

static void child_thread_inside(void)
{
	pthread_t id;

	pthread_create(&id, NULL, thread_inside, NULL);
	pthread_exit(NULL);
}

/* The leader has exited: a zombie without memory, and the others live on. */
static void reads_threads_of_a_dead_leader(void **state)
{
	struct hp_seen seen;
	struct hp_err err = {0};
	struct hp_target *t;
	struct truth_rig r;
	int opened = 0;

	truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r.pid = tied_fork();
	if (r.pid == 0) {
		child_thread_inside();
	}
	for (int i = 0; i < 5000 && !truth->ready; i++)
		hp_pause_ns(HP_MS);
	/* The leader ends a moment later. */
	for (int i = 0; i < 5000 && (opened = hp_target_open(&t, r.pid, &err)) == 0; i++) {
		hp_target_free(t);
		hp_pause_ns(HP_MS);
	}
	assert_int_equal(opened, -HP_E_TARGET);
	assert_non_null(strstr(err.text, "main thread"));
	kill(r.pid, SIGKILL);
	waitpid(r.pid, NULL, 0);
	munmap(truth, 4096);

	truth_open(&r, child_inside);
	truth->tid = r.pid + 100000; /* no such thread */
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_GONE);
	truth_close(&r);
}

static void *thread_idle(void *arg)
{
	truth_wait();
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void child_waits_for_thread(void *(*fn)(void *))
{
	pthread_t id;

	pthread_create(&id, NULL, fn, NULL);
	pthread_join(id, NULL);
}

static void child_joins_inside(void)
{
	child_waits_for_thread(thread_inside);
}

static void child_joins_outside(void)
{
	child_waits_for_thread(thread_outside);
}

static void sees_other_threads(void **state)
{
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child_joins_inside);
	assert_int_not_equal(truth->tid, r.pid);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.call[seen.n_calls - 1].sp, truth->cfa - 8);
	truth->tid = r.pid;
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	truth_close(&r);
	truth_open(&r, child_joins_outside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	truth_close(&r);
}

#define STACK (64u << 10)

/* The lowest of three stacks, of which one mapping is made, which ends above the last. */
static void child_on_guarded_stack(void *(*fn)(void *))
{
	char *stack = guarded_stacks(3, STACK);

	for (size_t i = 3; i-- > 0;)
		if (guarded_thread(stack + i * STACK, STACK, i ? wait_for_ever : fn, NULL))
			_exit(1);
	for (;;)
		pause();
}

static void guard_own_stack(void)
{
	volatile char room[4 * GUARD_BYTES];

	room[0] = 0;
	guard_page((void *)(((uintptr_t)room + 2 * GUARD_BYTES) & -(uintptr_t)GUARD_BYTES));
	truth_wait();
	room[sizeof(room) - 1] = 0;
}

static void *thread_inside_above_hole(void *arg)
{
	watched_fn(2, guard_own_stack);
	return NULL;
}

static void child_inside_above_hole(void)
{
	child_on_guarded_stack(thread_inside_above_hole);
}

static void child_guarded_inside(void)
{
	child_on_guarded_stack(thread_inside);
}

static void child_guarded_outside(void)
{
	child_on_guarded_stack(thread_outside);
}

static void child_guarded_idle(void)
{
	child_on_guarded_stack(thread_idle);
}

static void a_guard_page_ends_a_stack(void **state)
{
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child_guarded_inside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.call[seen.n_calls - 1].sp, truth->cfa - 8);
	truth_close(&r);
	truth_open(&r, child_guarded_outside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	truth_close(&r);
	truth_open(&r, child_guarded_idle);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	assert_int_equal(hp_looker_stats(r.l)->scan_hits, 0);
	truth_close(&r);
}

static ucontext_t main_context, coroutine;

static void child_coroutine(void)
{
	static uint8_t stack[64 << 10];

	getcontext(&coroutine);
	coroutine.uc_stack = (stack_t){.ss_sp = stack, .ss_size = sizeof(stack)};
	makecontext(&coroutine, truth_wait, 0);
	swapcontext(&main_context, &coroutine);
}

/* Not its own: the control block is not there. */
static void a_hole_in_a_stack_hides_no_call(void **state)
{
	sees(child_inside_above_hole, HP_SEEN_INSIDE, 3);
}

/* A coroutine below a thread's stack, in one mapping. */
static void child_guarded_coroutine(void)
{
	char *stack = guarded_stacks(2, STACK);

	if (guarded_thread(stack + STACK, STACK, wait_for_ever, NULL))
		_exit(1);
	getcontext(&coroutine);
	coroutine.uc_stack = (stack_t){.ss_sp = stack, .ss_size = STACK};
	makecontext(&coroutine, truth_wait, 0);
	swapcontext(&main_context, &coroutine);
}

/* The control block at the end of its mapping is another's. */
static void a_coroutine_below_a_guard_page_is_unknown(void **state)
{
	sees(child_guarded_coroutine, HP_SEEN_UNKNOWN, 0);
}

static void coroutine_is_unknown(void **state)
{
	sees(child_coroutine, HP_SEEN_UNKNOWN, 0);
}

static int note_held(void *arg, pid_t tid, const struct hp_seen *seen)
{
	struct user_regs_struct regs;
	int *held = arg;

	assert_int_equal(hp_thread_regs(tid, &regs), 0);
	assert_int_equal(regs.rsp, seen->regs.rsp);
	++*held;
	return seen->verdict == HP_SEEN_INSIDE ? 0 : -EINVAL;
}

static void holds_what_is_inside(void **state)
{
	struct hp_seen seen;
	struct hp_err err = {0};
	struct truth_rig r;
	int held = 0;

	truth_open(&r, child_inside);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(hp_look(r.l, truth->tid, &r.scene, &seen, note_held, &held, &err),
				 0);
		assert_int_equal(held, i);
		assert_true(seen.stopped);
	}
	truth_close(&r);
}

/* place() of the tests: the wait's own code plays hp's. */
static struct hp_own_place placed;

static void place(void *arg, hp_addr pc, struct hp_own_place *ret)
{
	*ret = placed;
}

static void own_code_is_placed(void **state)
{
	struct hp_range own;
	struct hp_seen seen;
	uint64_t at;
	struct truth_rig r;

	truth_open(&r, child_outside);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	own = (struct hp_range){seen.regs.rip, seen.regs.rip + 1};
	r.scene.own = &own;
	r.scene.n_own = 1;
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_AGAIN); /* own code, and nobody to ask */
	r.scene.place = place;
	placed = (struct hp_own_place){.kind = HP_OWN_UNSURE};
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_AGAIN);
	placed = (struct hp_own_place){.kind = HP_OWN_OUTSIDE, .pushed = 0};
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	/* where watched_fn() begins, its frame being what lies at rsp */
	placed = (struct hp_own_place){
		.kind = HP_OWN_INSIDE, .as_pc = r.part[0].range.lo, .fn = 0, .pushed = 0};
	r.scene.entry_is_patched = true;
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.call[0].fn, 0);
	assert_int_equal(seen.call[0].sp, seen.regs.rsp);
	assert_int_equal(hp_mem_read(r.t, seen.regs.rsp, &at, sizeof(at), NULL), 0);
	truth_close(&r);
}

static void child_interrupted_in_its_wait(void)
{
	use_alternate();
	child_outside();
}

/* A call that waits in hp's own code is interrupted, and the handler comes to wait there too. */
static void own_code_that_a_signal_interrupted_is_placed(void **state)
{
	struct hp_range own;
	struct hp_seen seen;
	struct truth_rig r;

	truth_open(&r, child_interrupted_in_its_wait);
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	own = (struct hp_range){seen.regs.rip, seen.regs.rip + 1};
	truth->ready = 0;
	assert_int_equal(syscall(SYS_tgkill, r.pid, truth->tid, SIGALRM), 0);
	while (!truth->ready)
		assert_int_equal(waitpid(r.pid, NULL, WNOHANG), 0);
	while (truth_look(&r, &seen) != HP_SEEN_OUTSIDE || seen.regs.rip != own.lo)
		hp_pause_ns(HP_MS);
	assert_true(seen.regs.rsp - (uint64_t)(uintptr_t)alternate < sizeof(alternate));

	r.scene.own = &own;
	r.scene.n_own = 1;
	r.scene.place = place;
	placed = (struct hp_own_place){.kind = HP_OWN_UNSURE};
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_AGAIN);
	placed = (struct hp_own_place){.kind = HP_OWN_OUTSIDE};
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_OUTSIDE);
	assert_int_equal(seen.n_calls, 0);
	placed = (struct hp_own_place){.kind = HP_OWN_INSIDE, .as_pc = r.part[0].range.lo, .fn = 0};
	r.scene.entry_is_patched = true;
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, 2);
	assert_int_equal(seen.call[0].sp, seen.regs.rsp);
	assert_true(seen.call[1].sp - (uint64_t)(uintptr_t)alternate >= sizeof(alternate));
	truth_close(&r);
}

static int sharer(void *arg)
{
	tied_to((pid_t)(intptr_t)arg);
	return watched_first(2);
}

static void child_with_sharer(void)
{
	static _Alignas(16) char stack[65536];

	if (clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD,
		  (void *)(intptr_t)getpid()) > 0)
		for (;;)
			pause();
}

static void finds_who_shares_the_memory(void **state)
{
	struct hp_pids tids = {0};
	struct hp_err err = {0};
	struct hp_seen seen;
	struct truth_rig r;
	size_t n_own;

	truth_open(&r, child_with_sharer);
	assert_int_equal(hp_look_threads(r.l, 0, &tids, &n_own, &err), 0);
	assert_int_equal(n_own, 1);
	assert_int_equal(tids.n, 2);
	assert_int_equal(tids.v[0], r.pid);
	assert_int_equal(tids.v[1], truth->tid);
	assert_true(hp_look_shares(r.l, truth->tid));
	assert_int_equal(truth_look(&r, &seen), HP_SEEN_INSIDE); /* on a stack that is no thread's */
	assert_int_equal(seen.n_calls, 4);
	assert_int_equal(hp_look_threads(r.l, truth->tid, &tids, NULL, &err), 0);
	assert_int_equal(tids.n, 1);

	kill(truth->tid, SIGKILL);
	for (int i = 0; i < 5000 && hp_look_shares(r.l, truth->tid); i++)
		hp_pause_ns(HP_MS);
	assert_false(hp_look_shares(r.l, truth->tid));
	assert_int_equal(hp_look_threads(r.l, 0, &tids, NULL, &err), 0);
	assert_int_equal(tids.n, 1);
	hp_pids_free(&tids);
	truth_close(&r);
}

int truth_run(const struct hp_look_progs *progs)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_a_sleeper_inside),
		cmocka_unit_test(is_not_misled_by_pointers),
		cmocka_unit_test(sees_the_outermost_of_many),
		cmocka_unit_test(follows_a_signal_to_another_stack),
		cmocka_unit_test(signal_outside_is_outside),
		cmocka_unit_test(reads_threads_of_a_dead_leader),
		cmocka_unit_test(sees_other_threads),
		cmocka_unit_test(finds_who_shares_the_memory),
		cmocka_unit_test(coroutine_is_unknown),
		cmocka_unit_test(a_guard_page_ends_a_stack),
		cmocka_unit_test(a_hole_in_a_stack_hides_no_call),
		cmocka_unit_test(a_coroutine_below_a_guard_page_is_unknown),
		cmocka_unit_test(holds_what_is_inside),
		cmocka_unit_test(own_code_is_placed),
		cmocka_unit_test(own_code_that_a_signal_interrupted_is_placed),
		cmocka_unit_test(look_never_lies),
	};

	truth_progs = progs;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
