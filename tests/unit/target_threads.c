/* SPDX-License-Identifier: MIT */
/*
 * A thread that waits for its vfork(2) child is in an uninterruptible wait (state D), as long as the
 * test likes: one that comes there after it was traced is what hp_thread_stop() may meet.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/procfs.h"
#include "target/threads.h"
#include "../services/tied.h"

struct shared {
	_Atomic bool go, leave;
	_Atomic uint32_t back;
};

static struct shared *shared;

static void wait_for(_Atomic bool *flag)
{
	while (!*flag)
		hp_pause_ns(HP_MS);
}

_Noreturn static void victim_main(void)
{
	for (;;) {
		wait_for(&shared->go);
		if (vfork() == 0) {
			wait_for(&shared->leave);
			_exit(0);
		}
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			;
		shared->go = false;
		shared->back++;
	}
}

static void await_state(pid_t pid, char state)
{
	struct hp_stat st = {0};

	do {
		assert_int_equal(hp_stat_read(pid, &st), 0);
		assert_int_not_equal(st.state, 'Z');
	} while (st.state != state);
}

static pid_t begin(void)
{
	pid_t pid;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	pid = tied_fork();
	if (pid == 0)
		victim_main();
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	shared->leave = true;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
	munmap(shared, 4096);
}

_Noreturn static int wait_for_ever(void *arg)
{
	for (;;)
		pause();
}

static pid_t sleeper(void)
{
	pid_t pid = tied_fork();

	if (pid == 0)
		wait_for_ever(NULL);
	return pid;
}

static void kill_sleeper(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void vfork_and_wait(pid_t pid)
{
	shared->go = true;
	await_state(pid, 'D');
}

/* As hp_thread_stop() leaves one that began its wait after it was looked at. */
static void leave_it(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	vfork_and_wait(pid);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	assert_int_equal(hp_thread_wait_until(pid, &status, hp_now_ns() + 20 * HP_MS), -ETIMEDOUT);
	hp_thread_leave(pid);
}

static void await_back(pid_t pid)
{
	while (!shared->back)
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
}

static uint64_t tracer_of(pid_t pid)
{
	uint64_t tracer = 1;

	assert_true(hp_status_number(pid, "TracerPid", 10, &tracer));
	return tracer;
}

static void one_that_waits_is_not_touched(void **state)
{
	struct hp_err err = {0};
	pid_t pid = begin();

	vfork_and_wait(pid);
	assert_int_equal(hp_thread_stop(pid, pid, 0, &err), -EBUSY);
	assert_int_equal(tracer_of(pid), 0);
	shared->leave = true;
	await_back(pid);
	end(pid);
}

static void one_that_was_left_can_be_stopped_later(void **state)
{
	struct user_regs_struct regs;
	struct hp_err err = {0};
	pid_t pid = begin();

	leave_it(pid);
	for (int i = 0; i < 3; i++)
		assert_int_equal(hp_thread_stop(pid, pid, 0, &err), -EBUSY);
	shared->leave = true;
	await_state(pid, 't');
	assert_int_equal(hp_thread_stop(pid, pid, 0, &err), 0);
	assert_int_equal(hp_thread_regs(pid, &regs), 0);
	assert_int_equal(shared->back, 0);
	assert_int_equal(hp_thread_release(pid), 0);
	assert_int_equal(tracer_of(pid), 0);
	await_back(pid);
	end(pid);
}

static void one_that_was_left_is_let_go_with_another(void **state)
{
	struct hp_err err = {0};
	pid_t pid = begin(), other = sleeper();

	leave_it(pid);
	shared->leave = true;
	await_state(pid, 't');
	assert_int_equal(hp_thread_stop(other, other, 0, &err), 0);
	assert_int_equal(tracer_of(pid), 0);
	await_back(pid);
	assert_int_equal(hp_thread_release(other), 0);
	kill_sleeper(other);
	end(pid);
}

static void one_that_was_left_may_die(void **state)
{
	struct hp_err err = {0};
	pid_t pid = begin();

	leave_it(pid);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT | __WALL), 0);
	assert_int_equal(hp_thread_stop(pid, pid, 0, &err), -ESRCH);
	shared->leave = true;
	munmap(shared, 4096);
}

/* What a list said may be old: by then the number is another process's. */
static void a_stranger_is_let_go(void **state)
{
	struct hp_err err = {0};
	pid_t pid = sleeper(), stranger = sleeper();

	assert_int_equal(hp_thread_stop(pid, stranger, 0, &err), -ESRCH);
	assert_int_equal(tracer_of(stranger), 0);
	assert_int_equal(hp_thread_stop_sharer(pid, stranger, &err), -ESRCH);
	assert_int_equal(tracer_of(stranger), 0);
	await_state(stranger, 'S'); /* it goes on */
	kill_sleeper(stranger);
	kill_sleeper(pid);
}

static void one_that_shares_the_memory_may_be_meant(void **state)
{
	static uint64_t stack[1024];
	struct hp_err err = {0};
	pid_t pid, sharer;
	int said[2];

	assert_int_equal(pipe(said), 0);
	pid = tied_fork();
	if (pid == 0) {
		sharer = clone(wait_for_ever, stack + 1024, CLONE_VM, NULL);
		if (write(said[1], &sharer, sizeof(sharer)) != sizeof(sharer))
			_exit(1);
		wait_for_ever(NULL);
	}
	assert_int_equal(read(said[0], &sharer, sizeof(sharer)), sizeof(sharer));
	assert_int_equal(hp_thread_stop(pid, sharer, 0, &err), -ESRCH);
	assert_int_equal(hp_thread_stop_sharer(pid, sharer, &err), 0);
	assert_int_equal(hp_thread_release(sharer), 0);
	assert_int_equal(hp_thread_stop_sharer(pid, pid, &err), 0);
	assert_int_equal(hp_thread_release(pid), 0);
	kill(sharer, SIGKILL); /* its parent does not reap it: it is gone when that is */
	kill_sleeper(pid);
	close(said[0]);
	close(said[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_waits_is_not_touched),
		cmocka_unit_test(one_that_was_left_can_be_stopped_later),
		cmocka_unit_test(one_that_was_left_is_let_go_with_another),
		cmocka_unit_test(one_that_was_left_may_die),
		cmocka_unit_test(a_stranger_is_let_go),
		cmocka_unit_test(one_that_shares_the_memory_may_be_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
