/* SPDX-License-Identifier: MIT */
/* The counting rules. */
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hp/err.h"
#include "rig/watch_lab.h"

static void counts_recursion_and_lists_it(void **state)
{
	struct lab *l = *state;
	/* let in by first, recurse() takes first when its argument is odd: 5, 4, 3, 2 */
	const unsigned expected[] = {FN_FIRST, FN_FIRST, FN_SECOND, FN_FIRST, FN_SECOND};
	struct hp_thread_calls calls;

	lab_let(l, 'r');
	assert_int_equal(hp_session_total(l->s), 5);
	assert_int_equal(lab_in_flight(l, FN_FIRST), 3);
	assert_int_equal(lab_in_flight(l, FN_SECOND), 2);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(calls.call[i].fn, expected[i]);
		assert_true(!i || calls.call[i].sp < calls.call[i - 1].sp);
	}
	lab_let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(lab_in_flight(l, FN_FIRST), 0);
	assert_int_equal(lab_in_flight(l, FN_SECOND), 0);
	assert_int_equal(hp_view_state(l->v)->entries, 5);
	assert_int_equal(hp_view_state(l->v)->exits, 5);
	assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 3);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 0);
	assert_true(hp_session_alive(l->s));
	assert_false(hp_session_overflowed(l->s));
}

static void longjmp_stays_until_an_entry_replaces_it(void **state)
{
	struct lab *l = *state;

	lab_let(l, 'j');
	assert_int_equal(hp_session_total(l->s), 1);
	lab_let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->replaced, 1);
	assert_int_equal(hp_view_state(l->v)->exits, 1);
	lab_let(l, '.');
}

static void an_audit_removes_what_stays(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls, none = {0};

	lab_let(l, 'J');
	assert_int_equal(hp_session_total(l->s), 2);
	lab_let(l, '.');
	/* first was replaced and has returned; second, deeper, was not */
	assert_int_equal(hp_session_total(l->s), 1);
	assert_int_equal(lab_in_flight(l, FN_SECOND), 1);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 1);
	assert_int_equal(calls.call[0].fn, FN_SECOND);
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &none), 0);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(lab_in_flight(l, FN_SECOND), 0);
	lab_let(l, '.');
}

static void thread_that_ends_inside_takes_its_calls_along(void **state)
{
	struct lab *l = *state;

	lab_let(l, 'e');
	assert_int_equal(hp_view_state(l->v)->dead, 1);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(lab_in_flight(l, FN_FIRST), 0);
}

static void killed_process_takes_its_calls_along(void **state)
{
	struct lab *l = *state;

	lab_let(l, 't');
	assert_int_equal(hp_session_total(l->s), 1);
	lab_kill_victim(l);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->dead, 1);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
}

static void too_many_calls_make_the_count_unknown(void **state)
{
	struct lab *l = *state;

	lab_let(l, 'o');
	assert_true(hp_session_overflowed(l->s));
	assert_int_equal(hp_view_state(l->v)->overflow, 6);
	/* those six had no place on the list, so their exits take nothing away: upwards only */
	assert_int_equal(hp_view_state(l->v)->unmatched, 6);
	assert_int_equal(hp_session_total(l->s), 6);
}

static void gated_entries_are_counted_apart(void **state)
{
	struct lab *l = *state;

	hp_session_gate(l->s, true);
	lab_let(l, 'c');
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->gate_calls, 2);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	hp_session_gate(l->s, false);
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
}

static void edges_tell_when_the_last_call_ends(void **state)
{
	struct lab *l = *state;
	struct pollfd p = {.fd = hp_session_fd(l->s), .events = POLLIN};

	lab_let(l, 'r');
	assert_int_equal(poll(&p, 1, 0), 0);
	hp_session_gate(l->s, true);
	lab_let(l, '.');
	lab_await(hp_session_fd(l->s));
	assert_int_equal(hp_session_edges(l->s), 2); /* zero, and this thread is out */
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(hp_session_edges(l->s), 0);
}

static void baseline_is_matched_by_its_exits(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls;

	/* where the stack pointer is at the entry, from a session that saw it */
	lab_let(l, 'r');
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 5);
	lab_session_end(l);
	assert_int_equal(lab_first_byte(l), 0x90);

	/* to the next one these calls are unknown until the baseline says so */
	l->s = lab_session(l);
	assert_int_equal(lab_first_byte(l), 0xcc);
	assert_int_equal(hp_session_total(l->s), 0);
	calls.depth = 3;
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), 0);
	assert_int_equal(hp_session_total(l->s), 3);
	lab_let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->exits, 3);
	assert_int_equal(hp_view_state(l->v)->unmatched, 2);
}

static void thread_set_refuses_nonsense(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls = {.depth = HP_THREAD_MAX + 1};

	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), -E2BIG);
	calls.depth = 1;
	calls.call[0].fn = HP_SLOT_FNS;
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), -EINVAL);
	lab_kill_victim(l);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), -ESRCH);
	assert_int_equal(hp_session_total(l->s), 0);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
}

/* When all threads have ended, every entry was met by an exit, a replacement or a death. */
static void nothing_is_lost_among_threads(void **state)
{
	struct lab *l = *state;
	const struct hp_session_state *st = hp_view_state(l->v);

	lab_let(l, 'm');
	print_message("entries %llu: exits %llu, replaced %llu, dead %llu\n",
		      (unsigned long long)st->entries, (unsigned long long)st->exits,
		      (unsigned long long)st->replaced, (unsigned long long)st->dead);
	assert_false(hp_session_overflowed(l->s));
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(lab_in_flight(l, FN_FIRST), 0);
	assert_int_equal(lab_in_flight(l, FN_SECOND), 0);
	assert_true(st->exits > 0 && st->replaced > 0 && st->dead > 0);
	assert_int_equal(st->entries, st->exits + st->replaced + st->dead);
	assert_int_equal(st->unmatched, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_recursion_and_lists_it),
		TEST(longjmp_stays_until_an_entry_replaces_it),
		TEST(an_audit_removes_what_stays),
		TEST(thread_that_ends_inside_takes_its_calls_along),
		TEST(killed_process_takes_its_calls_along),
		TEST(too_many_calls_make_the_count_unknown),
		TEST(gated_entries_are_counted_apart),
		TEST(edges_tell_when_the_last_call_ends),
		TEST(baseline_is_matched_by_its_exits),
		TEST(thread_set_refuses_nonsense),
		TEST(nothing_is_lost_among_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
