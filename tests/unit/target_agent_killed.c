/* SPDX-License-Identifier: MIT */
/* What an agent's controller leaves that is killed, and that it is cleaned up. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "hp/err.h"
#include "rig/target_victim.h"
#include "target/agent.h"
#include "target/procfs.h"
#include "target/target.h"
#include "../services/tied.h"

#define SOON (hp_now_ns() + 3 * HP_S)

/* hpd is killed with an agent at work: it dies, and the next hpd cleans up. */
static void killed_controller_is_cleaned_up_after(void **state)
{
	static const unsigned kinds[] = {VICTIM_EPOLL, VICTIM_FUTEX, VICTIM_SPIN};
	struct victim *v = victim_start(kinds, 3);
	char *before = victim_maps(v), *after;
	struct hp_target *t = victim_target(v);
	struct hp_err err = {0};

	for (int i = 0; i < 30; i++) {
		pid_t hpd = fork();

		if (hpd == 0) {
			struct hp_agent *a;

			if (hp_agent_start(&a, t, NULL, SOON, NULL) == 0)
				raise(SIGKILL);
			_exit(1);
		}
		assert_int_equal(waitpid(hpd, NULL, 0), hpd);
		if (hp_agent_clean(t, NULL, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(victim_children(v), 0);
		assert_int_equal(hp_agent_clean(t, NULL, &err), 0);
	}
	after = victim_maps(v);
	assert_string_equal(before, after);
	victim_finish(v, kinds);
	free(before);
	free(after);
	hp_target_free(t);
	victim_free(v);
}

/* … and killed at any instruction of its work.  A call that is begun again either by the kernel or
 * by the thread's own frame; epoll_wait(2) and its like answer -EINTR by themselves when the
 * controller dies between the stop and its next instruction, so they are not here. */
static void controller_killed_anywhere(void **state)
{
	static const unsigned kinds[] = {VICTIM_FUTEX, VICTIM_SPIN, VICTIM_PPOLL};
	struct victim *v = victim_start(kinds, 3);
	char *before = victim_maps(v), *after;
	struct hp_target *t = victim_target(v);
	struct hp_err err = {0};
	uint64_t spins;

	for (unsigned i = 0; i < 200; i++) {
		pid_t hpd = fork();

		if (hpd == 0) {
			for (;;) {
				struct hp_agent *a;

				if (hp_agent_start(&a, t, NULL, SOON, NULL) == 0)
					(void)hp_agent_end(a, NULL);
			}
		}
		hp_pause_ns((i * 37 % 200) * 10 * HP_US);
		kill(hpd, SIGKILL);
		assert_int_equal(waitpid(hpd, NULL, 0), hpd);
		if (hp_agent_clean(t, NULL, &err) < 0)
			fail_msg("%s", err.text);
		spins = v->spins;
		for (int k = 0; k < 5000 && v->spins == spins; k++)
			hp_pause_ns(HP_MS);
		assert_true(v->spins != spins);
	}
	/* The last controller may have died with its clone about to be made. */
	for (int k = 0; k < 5000 && victim_children(v); k++)
		hp_pause_ns(HP_MS);
	assert_int_equal(victim_children(v), 0);
	after = victim_maps(v);
	assert_string_equal(before, after);
	free(before);
	free(after);
	victim_finish(v, kinds);
	hp_target_free(t);
	victim_free(v);
}

/* A controller that hangs at fault point @at, as it starts an agent. */
static pid_t hang_at(struct hp_target *t, enum hp_fault_point at)
{
	char fault[64], counts[] = "/tmp/hp-counts-XXXXXX";
	uint32_t word[HP_FAULTS + 1] = {0};
	int fd = mkstemp(counts);
	pid_t hpd = fork();

	if (hpd == 0) {
		struct hp_agent *a;
		bool armed;

		(void)snprintf(fault, sizeof(fault), "%s:hang", hp_fault_info(at)->name);
		if (setenv("HP_FAULT", fault, 1) || setenv("HP_FAULT_COUNTS", counts, 1) ||
		    hp_fault_arm(&armed, NULL) < 0)
			_exit(1);
		(void)hp_agent_start(&a, t, NULL, SOON, NULL);
		_exit(1);
	}
	for (int i = 0; i < 5000; i++) {
		if (pread(fd, word, sizeof(word), 0) == sizeof(word) && word[HP_FAULTS])
			break;
		hp_pause_ns(HP_MS);
	}
	assert_int_equal(word[HP_FAULTS], hpd);
	close(fd);
	unlink(counts);
	return hpd;
}

static char state_of(pid_t pid)
{
	struct hp_stat st = {0};

	return hp_stat_read(pid, &st) == 0 ? st.state : 0;
}

/* The system call that its only thread is blocked in; LONG_MAX: none. */
static long call_of(pid_t pid)
{
	char path[64], *end, line[256] = "";
	FILE *f;
	long nr;

	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	(void)!fgets(line, sizeof(line), f);
	fclose(f);
	nr = strtol(line, &end, 10);
	return end == line ? LONG_MAX : nr;
}

/* The controller is killed, and the thread that it had borrowed runs on when the next hpd has looked
 * already. */
static void killed_before_it_ran(struct hp_target *t, enum hp_fault_point at)
{
	pid_t hpd = hang_at(t, at);
	struct hp_err err = {0};

	assert_int_equal(kill(t->pid, SIGSTOP), 0);
	assert_int_equal(kill(hpd, SIGKILL), 0);
	assert_int_equal(waitpid(hpd, NULL, 0), hpd);
	for (int i = 0; i < 5000 && state_of(t->pid) != 'T'; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(state_of(t->pid), 'T');
	if (at == HP_FAULT_BORROW_CALL && hp_agent_clean(t, NULL, &err) != 0)
		fail_msg("there is something already: %s", err.text);
	assert_int_equal(kill(t->pid, SIGCONT), 0);
}

/* A thread with a call of hp's before it cleans up after itself. */
static void late_clone_leaves_nothing(void **state)
{
	static const enum hp_fault_point points[] = {HP_FAULT_BORROW_CALL, HP_FAULT_AGENT_BORN};

	for (unsigned i = 0; i < 2 * VICTIM_KINDS; i++) {
		unsigned kind = i / 2;
		struct victim *v = victim_start(&kind, 1);
		struct hp_target *t = victim_target(v);
		long nr = call_of(v->pid);
		uint64_t spins;

		killed_before_it_ran(t, points[i % 2]);
		spins = v->spins;
		for (int k = 0; k < 5000; k++) {
			if (kind == VICTIM_SPIN ? v->spins != spins : call_of(v->pid) == nr)
				break;
			hp_pause_ns(HP_MS);
		}
		if (victim_children(v))
			fail_msg("%s, killed at %s: the agent is left", victim_names[kind],
				 hp_fault_info(points[i % 2])->name);
		victim_finish(v, &kind);
		hp_target_free(t);
		victim_free(v);
	}
}

/* … and where there could be no agent, it waits for none. */
static void late_clone_that_fails(void **state)
{
	struct hp_err err = {0};
	struct hp_target *t;
	pid_t parent = getpid(), pid = fork();
	long nr;

	if (pid == 0) {
		pid = fork(); /* a child that it must not wait for */
		if (setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}) || setuid(65533))
			_exit(1);
		tied_to(parent);
		for (;;)
			pause();
	}
	for (int i = 0; i < 5000 && call_of(pid) != SYS_pause; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(hp_target_open(&t, pid, &err), 0);
	killed_before_it_ran(t, HP_FAULT_BORROW_CALL);
	for (int i = 0; i < 5000 && (nr = call_of(pid)) != SYS_pause; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(nr, SYS_pause);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	hp_target_free(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_controller_is_cleaned_up_after),
		cmocka_unit_test(controller_killed_anywhere),
		cmocka_unit_test(late_clone_leaves_nothing),
		cmocka_unit_test(late_clone_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
