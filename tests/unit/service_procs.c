/* SPDX-License-Identifier: MIT */
/* Sets of processes, of programs that fork and end all the time. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "rig/reborn.h"
#include "service/procs.h"
#include "target/procfs.h"

/* In the child: @n descendants one after the other, each of whose parents ends at once. */
_Noreturn static void line(int n)
{
	while (n-- > 0)
		if (fork())
			_exit(0);
	for (;;)
		pause();
}

static pid_t start(int n)
{
	pid_t pid = fork();

	if (pid == 0)
		line(n);
	return pid;
}

static void families(void **state)
{
	struct hp_procs procs = {0};
	int said[2];
	pid_t child = 0, inner = 0;

	assert_int_equal(pipe(said), 0);
	child = fork();
	if (child == 0) {
		pid_t pid = fork();

		if (pid && write(said[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(said[0], &inner, sizeof(inner)), sizeof(inner));
	assert_int_equal(hp_procs_below(&procs, getpid(), false), 0);
	assert_int_equal(procs.n, 2);
	assert_int_equal(procs.v[0], child); /* parents before their children */
	assert_int_equal(procs.v[1], inner);
	assert_int_equal(hp_procs_below(&procs, child, true), 0);
	assert_int_equal(procs.n, 2);
	assert_true(hp_procs_have(&procs, inner));
	assert_false(hp_procs_have(&procs, getpid()));
	/* A zombie is nobody. */
	kill(inner, SIGKILL);
	for (int i = 0; i < 10000 && hp_procs_below(&procs, child, false) == 0 && procs.n; i++)
		usleep(1000);
	assert_int_equal(procs.n, 0);
	hp_procs_free(&procs);
	assert_false(hp_procs_none_below());
	assert_int_equal(hp_procs_kill_below(), 0);
	assert_true(hp_procs_none_below());
	close(said[0]);
	close(said[1]);
}

/* It is alive all the while, though a listing may miss it. */
static void a_line_is_alive(void **state)
{
	struct hp_procs procs = {0};
	int seen = 0;

	start(300);
	for (int i = 0; i < 50; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		assert_false(hp_procs_none_below());
		assert_int_equal(hp_procs_below(&procs, getpid(), false), 0);
		seen += procs.n > 0;
	}
	assert_true(seen > 0);
	assert_int_equal(hp_procs_kill_below(), 0);
	assert_true(hp_procs_none_below());
	hp_procs_free(&procs);
}

static void a_line_is_killed(void **state)
{
	for (int i = 0; i < 5; i++) {
		start(100);
		assert_int_equal(hp_procs_kill_below(), 0);
		assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	}
}

/* What a listing says is old when it is read. */
static void a_number_that_is_another_process_s_by_then(void **state)
{
	struct hp_procs procs = {0};
	pid_t child = start(0), stranger = start(0);
	int held = pidfd_open(child, 0);

	assert_int_equal(hp_procs_below(&procs, child, true), 0);
	assert_int_equal(procs.n, 1);
	procs.v[0] = stranger; /* as if it had the number of one that was below @child */
	assert_int_equal(hp_procs_kill(&procs, child, held), 0);
	procs.v[0] = child;
	assert_int_equal(hp_procs_kill(&procs, child, held), 0);
	assert_int_equal(waitpid(-1, NULL, 0), child);
	assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
	close(held);
	hp_procs_free(&procs);
	assert_int_equal(hp_procs_kill_below(), 0);
}

/* In a child: says the number of its own one, and waits. */
_Noreturn static void parent(int to)
{
	pid_t pid = fork();

	if (pid && write(to, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

/* A whole family that has the root's number is not the one that was meant. */
static void the_root_s_number_is_another_process_s(void **state)
{
	struct hp_procs procs = {0};
	pid_t root = start(0), child;
	int held = pidfd_open(root, 0), said[2];
	struct hp_stat st;

	assert_int_equal(pipe(said), 0);
	if (reborn_fork(root) == 0)
		parent(said[1]);
	assert_int_equal(read(said[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(hp_procs_below(&procs, root, true), 0);
	assert_int_equal(procs.n, 2);
	assert_int_equal(hp_procs_kill(&procs, root, held), 0);
	usleep(20000); /* what is killed ends a moment later */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hp_stat_read(procs.v[i], &st), 0);
		assert_int_not_equal(st.state, 'Z');
	}
	close(held);
	close(said[0]);
	close(said[1]);
	hp_procs_free(&procs);
	assert_int_equal(hp_procs_kill_below(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families),
		cmocka_unit_test(a_line_is_alive),
		cmocka_unit_test(a_line_is_killed),
		cmocka_unit_test(a_number_that_is_another_process_s_by_then),
		cmocka_unit_test(the_root_s_number_is_another_process_s),
	};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
