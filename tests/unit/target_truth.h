/* SPDX-License-Identifier: MIT */
/*
 * target_truth.h – looks at threads whose truth is known: a child says in shared memory what it is
 * doing.  The tests run twice: with every thread stopped (target_look.c), and with the BPF program
 * (watch_look.c).
 */
#ifndef HP_TESTS_TARGET_TRUTH_H
#define HP_TESTS_TARGET_TRUTH_H

#include <sched.h>
#include <ucontext.h>

#include "target_victim.h"

#include "target/look.h"
#include "target/resolve.h"

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
#define TRUTH_THREADS 3
#define LOOKS	      2000
#define LOOKS_MAX     50000
#define CERTAIN	      50 /* looks during which the thread did not move */

struct truth_thread {
	_Atomic int tid;
	_Atomic uint64_t inside;  /* odd: within the body of watched_fn() */
	_Atomic uint64_t outside; /* odd: about to call, in, or just back from it */
};

struct truth {
	_Atomic uint32_t ready, never;
	_Atomic uint64_t cfa;
	_Atomic int tid;
	struct truth_thread thread[TRUTH_THREADS];
};

static struct truth *truth;
static struct hp_look_progs *progs; /* NULL: none */

static NOINLINE void truth_wait(void)
{
	truth->tid = (int)syscall(SYS_gettid);
	truth->ready = 1;
	for (;;)
		(void)syscall(SYS_futex, &truth->never, FUTEX_WAIT, 0, NULL, NULL, 0);
}

/* In every frame of the recursion something is done after the call, so none is a tail call. */
NOINLINE int watched_fn(int depth, void (*then)(void));
NOINLINE int watched_fn(int depth, void (*then)(void))
{
	volatile int r = depth;

	if (depth > 0) {
		r += watched_fn(depth - 1, then);
	} else {
		then();
		r++;
	}
	return r;
}

NOINLINE int watched_first(int depth);
NOINLINE int watched_first(int depth)
{
	volatile int r;

	truth->cfa = (uint64_t)(uintptr_t)__builtin_dwarf_cfa();
	r = watched_fn(depth, truth_wait);
	return r + 1;
}

NOINLINE int bystander(void);
NOINLINE int bystander(void)
{
	int (*volatile misleading[4])(int, void (*)(void)) = {watched_fn, watched_fn, watched_fn,
							      watched_fn};

	truth_wait();
	return misleading[0] != NULL;
}

struct rig {
	pid_t pid;
	struct hp_target *t;
	struct hp_looker *l;
	struct hp_part part[2];
	struct hp_scene scene;
};

static struct hp_part truth_part(struct hp_target *t, const char *name, unsigned fn)
{
	struct hp_resolved f;
	struct hp_err err = {0};

	if (hp_resolve_function(t, name, &f, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(f.size > 0);
	return (struct hp_part){{f.addr, f.addr + f.size}, fn};
}

static void rig_open(struct rig *r, void (*child)(void))
{
	struct hp_err err = {0};

	truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(truth != MAP_FAILED);
	r->pid = fork();
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child();
		_exit(0);
	}
	for (int i = 0; i < 5000 && !truth->ready; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(truth->ready, 1);
	hp_pause_ns(20 * HP_MS); /* into the wait; a look in between is right as well */
	if (hp_target_open(&r->t, r->pid, &err) < 0 ||
	    hp_looker_open(&r->l, r->t, progs, &err) < 0)
		fail_msg("%s", err.text);
	r->part[0] = truth_part(r->t, "watched_fn", 0);
	r->part[1] = truth_part(r->t, "watched_first", 1);
	r->scene = (struct hp_scene){.part = r->part, .n_parts = 2};
}

static void rig_close(struct rig *r)
{
	hp_looker_free(r->l);
	hp_target_free(r->t);
	kill(r->pid, SIGKILL);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	munmap(truth, 4096);
}

static enum hp_verdict look(struct rig *r, struct hp_seen *seen)
{
	struct hp_err err = {0};

	if (hp_look(r->l, truth->tid, &r->scene, seen, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return seen->verdict;
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
	struct rig r;
	char text[700];
	size_t in = 0;

	rig_open(&r, child_inside);
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seen.call[i].fn, 0);
	assert_int_equal(seen.call[3].fn, 1);
	assert_int_equal(seen.call[3].sp, truth->cfa - 8);
	assert_true(seen.call[0].sp < seen.call[1].sp);
	assert_true(hp_in(r.part[0].range, seen.blocked_pc));
	assert_int_equal(seen.stopped, !progs);
	hp_look_where(r.l, &seen, text, sizeof(text));
	assert_non_null(strstr(text, "watched_fn"));

	assert_int_equal(hp_look_stack(r.l, truth->tid, &stack, &err), 0);
	for (size_t i = 0; i < stack.n; i++)
		in += strstr(stack.v[i].text, "watched_fn ") == stack.v[i].text;
	assert_int_equal(in, 3);
	hp_stack_free(&stack);
	rig_close(&r);
}

static void child_outside(void)
{
	bystander();
}

static void is_not_misled_by_pointers(void **state)
{
	struct hp_seen seen;
	struct rig r;

	rig_open(&r, child_outside);
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	assert_int_equal(seen.n_calls, 0);
	assert_int_equal(hp_looker_stats(r.l)->scan_hits, 1);
	rig_close(&r);
}

static void child_deep(void)
{
	watched_first(20000);
}

static void sees_the_outermost_of_many(void **state)
{
	struct hp_seen seen;
	struct rig r;

	rig_open(&r, child_deep);
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, HP_CALLS_MAX);
	assert_int_equal(seen.call[HP_CALLS_MAX - 1].fn, 1);
	assert_int_equal(seen.call[HP_CALLS_MAX - 1].sp, truth->cfa - 8);
	rig_close(&r);
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
	struct hp_seen seen;
	struct rig r;

	rig_open(&r, child_interrupted_inside);
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, 2);
	rig_close(&r);
}

static void child_interrupted_outside(void)
{
	use_alternate();
	raise_alarm();
}

static void signal_outside_is_outside(void **state)
{
	struct hp_seen seen;
	struct rig r;

	rig_open(&r, child_interrupted_outside);
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	rig_close(&r);
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
	struct rig r;

	truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r.pid = fork();
	if (r.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_thread_inside();
	}
	for (int i = 0; i < 5000 && !truth->ready; i++)
		hp_pause_ns(HP_MS);
	hp_pause_ns(20 * HP_MS);
	assert_int_equal(hp_target_open(&t, r.pid, &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "main thread"));
	kill(r.pid, SIGKILL);
	waitpid(r.pid, NULL, 0);
	munmap(truth, 4096);

	rig_open(&r, child_inside);
	truth->tid = r.pid + 100000; /* no such thread */
	assert_int_equal(look(&r, &seen), HP_SEEN_GONE);
	rig_close(&r);
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
	struct rig r;

	rig_open(&r, child_joins_inside);
	assert_int_not_equal(truth->tid, r.pid);
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.call[seen.n_calls - 1].sp, truth->cfa - 8);
	truth->tid = r.pid;
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	rig_close(&r);
	rig_open(&r, child_joins_outside);
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	rig_close(&r);
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

static void coroutine_is_unknown(void **state)
{
	struct hp_seen seen;
	struct rig r;

	rig_open(&r, child_coroutine);
	assert_int_equal(look(&r, &seen), HP_SEEN_UNKNOWN);
	rig_close(&r);
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
	struct rig r;
	int held = 0;

	rig_open(&r, child_inside);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(hp_look(r.l, truth->tid, &r.scene, &seen, note_held, &held, &err),
				 0);
		assert_int_equal(held, i);
		assert_true(seen.stopped);
	}
	rig_close(&r);
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
	struct rig r;

	rig_open(&r, child_outside);
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	own = (struct hp_range){seen.regs.rip, seen.regs.rip + 1};
	r.scene.own = &own;
	r.scene.n_own = 1;
	assert_int_equal(look(&r, &seen), HP_SEEN_AGAIN); /* own code, and nobody to ask */
	r.scene.place = place;
	placed = (struct hp_own_place){.kind = HP_OWN_UNSURE};
	assert_int_equal(look(&r, &seen), HP_SEEN_AGAIN);
	placed = (struct hp_own_place){.kind = HP_OWN_OUTSIDE, .pushed = 0};
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	/* where watched_fn() begins, its frame being what lies at rsp */
	placed = (struct hp_own_place){
		.kind = HP_OWN_INSIDE, .as_pc = r.part[0].range.lo, .fn = 0, .pushed = 0};
	r.scene.entry_is_patched = true;
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.call[0].fn, 0);
	assert_int_equal(seen.call[0].sp, seen.regs.rsp);
	assert_int_equal(hp_mem_read(r.t, seen.regs.rsp, &at, sizeof(at), NULL), 0);
	rig_close(&r);
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
	struct rig r;

	rig_open(&r, child_interrupted_in_its_wait);
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	own = (struct hp_range){seen.regs.rip, seen.regs.rip + 1};
	truth->ready = 0;
	assert_int_equal(syscall(SYS_tgkill, r.pid, truth->tid, SIGALRM), 0);
	while (!truth->ready)
		assert_int_equal(waitpid(r.pid, NULL, WNOHANG), 0);
	while (look(&r, &seen) != HP_SEEN_OUTSIDE || seen.regs.rip != own.lo)
		hp_pause_ns(HP_MS);
	assert_true(seen.regs.rsp - (uint64_t)(uintptr_t)alternate < sizeof(alternate));

	r.scene.own = &own;
	r.scene.n_own = 1;
	r.scene.place = place;
	placed = (struct hp_own_place){.kind = HP_OWN_UNSURE};
	assert_int_equal(look(&r, &seen), HP_SEEN_AGAIN);
	placed = (struct hp_own_place){.kind = HP_OWN_OUTSIDE};
	assert_int_equal(look(&r, &seen), HP_SEEN_OUTSIDE);
	assert_int_equal(seen.n_calls, 0);
	placed = (struct hp_own_place){.kind = HP_OWN_INSIDE, .as_pc = r.part[0].range.lo, .fn = 0};
	r.scene.entry_is_patched = true;
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE);
	assert_int_equal(seen.n_calls, 2);
	assert_int_equal(seen.call[0].sp, seen.regs.rsp);
	assert_true(seen.call[1].sp - (uint64_t)(uintptr_t)alternate >= sizeof(alternate));
	rig_close(&r);
}

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

static void never_lies(void **state)
{
	unsigned count[5] = {0}, certain_in = 0, certain_out = 0;
	struct rig r;

	rig_open(&r, child_truth);
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
	rig_close(&r);
}

static int sharer(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return watched_first(2);
}

static void child_with_sharer(void)
{
	static _Alignas(16) char stack[65536];

	if (clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) > 0)
		for (;;)
			pause();
}

static void finds_who_shares_the_memory(void **state)
{
	struct hp_tids tids = {0};
	struct hp_err err = {0};
	struct hp_seen seen;
	struct rig r;
	size_t n_own;

	rig_open(&r, child_with_sharer);
	assert_int_equal(hp_look_threads(r.l, 0, &tids, &n_own, &err), 0);
	assert_int_equal(n_own, 1);
	assert_int_equal(tids.n, 2);
	assert_int_equal(tids.v[0], r.pid);
	assert_int_equal(tids.v[1], truth->tid);
	assert_true(hp_look_shares(r.l, truth->tid));
	assert_int_equal(look(&r, &seen), HP_SEEN_INSIDE); /* on a stack that is no thread's */
	assert_int_equal(seen.n_calls, 4);
	assert_int_equal(hp_look_threads(r.l, truth->tid, &tids, NULL, &err), 0);
	assert_int_equal(tids.n, 1);

	kill(truth->tid, SIGKILL);
	for (int i = 0; i < 5000 && hp_look_shares(r.l, truth->tid); i++)
		hp_pause_ns(HP_MS);
	assert_false(hp_look_shares(r.l, truth->tid));
	assert_int_equal(hp_look_threads(r.l, 0, &tids, NULL, &err), 0);
	assert_int_equal(tids.n, 1);
	hp_tids_free(&tids);
	rig_close(&r);
}

static const struct CMUnitTest truth_tests[] = {
	cmocka_unit_test(sees_a_sleeper_inside),
	cmocka_unit_test(is_not_misled_by_pointers),
	cmocka_unit_test(sees_the_outermost_of_many),
	cmocka_unit_test(follows_a_signal_to_another_stack),
	cmocka_unit_test(signal_outside_is_outside),
	cmocka_unit_test(reads_threads_of_a_dead_leader),
	cmocka_unit_test(sees_other_threads),
	cmocka_unit_test(finds_who_shares_the_memory),
	cmocka_unit_test(coroutine_is_unknown),
	cmocka_unit_test(holds_what_is_inside),
	cmocka_unit_test(own_code_is_placed),
	cmocka_unit_test(own_code_that_a_signal_interrupted_is_placed),
	cmocka_unit_test(never_lies),
};

#endif
