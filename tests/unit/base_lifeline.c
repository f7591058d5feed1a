/* SPDX-License-Identifier: MIT */
/* A process that ends with another; what it forks does not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/lifeline.h"
#include "../services/tied.h"

/* What becomes of a child that does @what after it was tied to this process. */
static int status_of(void (*what)(void))
{
	pid_t parent = getpid(), pid = fork();
	int status;

	if (pid == 0) {
		hp_lifeline_tie(parent);
		what();
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void hold_and_resume(void)
{
	int signal = 0;

	hp_lifeline_hold();
	prctl(PR_GET_PDEATHSIG, &signal);
	if (signal)
		_exit(1);
	hp_lifeline_resume();
	prctl(PR_GET_PDEATHSIG, &signal);
	if (!signal)
		_exit(2);
}

/* As hold_and_resume(), in a process of which the tied one is the parent. */
static void fork_one(void)
{
	pid_t pid = fork();
	int signal = 0, status = 0;

	if (pid == 0) {
		hp_lifeline_hold();
		hp_lifeline_resume();
		prctl(PR_GET_PDEATHSIG, &signal);
		_exit(signal ? 1 : 7);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
		_exit(3);
}

static void what_is_tied_holds_and_resumes(void **state)
{
	assert_int_equal(status_of(hold_and_resume), 7 << 8);
}

static void a_fork_is_not_tied(void **state)
{
	assert_int_equal(status_of(fork_one), 7 << 8);
}

/* It died before the kernel could be told to tell. */
static void whose_parent_is_another_by_now_ends(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		hp_lifeline_tie(getpid());
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_tied_holds_and_resumes),
		cmocka_unit_test(a_fork_is_not_tied),
		cmocka_unit_test(whose_parent_is_another_by_now_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
