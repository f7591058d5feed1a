/* SPDX-License-Identifier: MIT */
/* Sessions, one after the other, and who keeps their probes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fd.h"
#include "hp/err.h"
#include "rig/watch_lab.h"

/* Its keeper is held up, so that the old probes are there while the new session counts. */
static void probes_of_an_earlier_session_count_nothing(void **state)
{
	struct lab *l = *state;
	pid_t keeper = hp_session_keeper(l->s);
	int pidfd;

	lab_let(l, 'c');
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	hp_session_end(l->s, &pidfd);
	l->s = lab_session(l);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
	assert_int_equal(hp_view_state(l->v)->exits, 1);
	assert_int_equal(hp_view_state(l->v)->unmatched, 0);
	assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 1);
	assert_int_equal(kill(keeper, SIGCONT), 0);
	lab_await(pidfd);
	close(pidfd);
	assert_true(hp_session_alive(l->s));
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 2);
}

/* Ends the session, but its probes stay until resume(). */
static int end_and_stop_keeper(struct hp_session *s, pid_t *keeper)
{
	int pidfd;

	*keeper = hp_session_keeper(s);
	assert_int_equal(kill(*keeper, SIGSTOP), 0);
	hp_session_end(s, &pidfd);
	return pidfd;
}

static void resume(pid_t keeper, int pidfd)
{
	assert_int_equal(kill(keeper, SIGCONT), 0);
	lab_await(pidfd);
	close(pidfd);
}

/* As above, but with the victim's view closed and its slots taken by the view of another one. */
static void probes_of_an_earlier_view_count_nothing(void **state)
{
	struct lab *l = *state, other = {.w = l->w, .self = l->self};
	const struct hp_session_state *was = hp_view_state(l->v);
	struct hp_view *clean[HP_SLOTS];
	pid_t keeper[4];
	int pidfd[4];
	size_t n = 0;

	lab_let(l, 'r');
	assert_int_equal(hp_session_total(l->s), 5);
	pidfd[0] = end_and_stop_keeper(l->s, &keeper[0]);
	hp_view_close(l->v);
	l->s = NULL;

	assert_int_equal(lab_victim(&other), 0);
	/* Slots that no probe may write to are taken first. */
	do
		assert_int_equal(hp_view_open(&clean[n], l->w, (pid_t)(1 << 22) + (pid_t)n, NULL), 0);
	while (hp_view_state(clean[n++]) != was && n < HP_SLOTS);
	hp_view_close(clean[--n]);
	assert_int_equal(hp_view_open(&l->v, l->w, other.pid, NULL), 0);
	other.v = l->v;
	while (n)
		hp_view_close(clean[--n]);
	assert_ptr_equal(hp_view_state(other.v), was);
	assert_int_equal(was->session, 0);
	assert_int_equal(was->total, 0);
	assert_int_equal(lab_in_flight(&other, FN_FIRST), 0);
	for (int i = 1; i < 4; i++) {
		other.s = lab_session(&other);
		assert_true((hp_view_state(other.v) == was) == (i == 2));
		lab_let(l, '.'); /* out of five calls of the old session … */
		lab_let(l, 'r'); /* … and into five more */
		assert_int_equal(hp_view_state(other.v)->entries, 0);
		lab_let(&other, 'c');
		assert_int_equal(hp_view_state(other.v)->entries, 1);
		assert_int_equal(hp_view_state(other.v)->exits, 1);
		assert_int_equal(hp_view_state(other.v)->unmatched, 0);
		assert_int_equal(hp_view_inflight(other.v)[FN_FIRST].calls, 1);
		assert_int_equal(hp_session_total(other.s), 0);
		pidfd[i] = end_and_stop_keeper(other.s, &keeper[i]);
	}
	for (int i = 0; i < 4; i++)
		resume(keeper[i], pidfd[i]);
	lab_kill_victim(&other);
	close(other.sock);
}

/* No keeper of theirs has come to its detach, so that both slots are still in use by probes. */
static void sessions_in_quick_succession_do_not_mix(void **state)
{
	struct lab *l = *state;
	pid_t keeper[4];
	int pidfd[4];

	for (unsigned i = 0; i < 4; i++) {
		if (i)
			l->s = lab_session(l);
		assert_int_equal(hp_view_state(l->v)->entries, 0);
		lab_let(l, 'c');
		lab_let(l, 'r');
		assert_int_equal(hp_view_state(l->v)->entries, 6);
		assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 4);
		assert_int_equal(hp_session_total(l->s), 5);
		pidfd[i] = end_and_stop_keeper(l->s, &keeper[i]);
		lab_let(l, '.');
		assert_int_equal(hp_view_state(l->v)->exits, 1);
		assert_int_equal(hp_view_state(l->v)->unmatched, 0);
	}
	l->s = NULL;
	for (unsigned i = 0; i < 4; i++)
		resume(keeper[i], pidfd[i]);
	assert_int_equal(lab_first_byte(l), 0x90);
}

static void dead_keeper_is_noticed(void **state)
{
	struct lab *l = *state;
	struct hp_err err = {0};
	int pidfd;

	assert_true(hp_session_alive(l->s));
	pidfd = (int)syscall(SYS_pidfd_open, hp_session_keeper(l->s), 0);
	assert_true(pidfd >= 0);
	kill(hp_session_keeper(l->s), SIGKILL);
	lab_await(pidfd);
	close(pidfd);
	assert_false(hp_session_alive(l->s));
	assert_int_equal(lab_attach(l, l->s, &err), -HP_E_FAILED);
	assert_non_null(strstr(err.text, "probe keeper"));
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 0);
}

static void attaches_all_or_nothing(void **state)
{
	struct lab *l = *state;
	const struct hp_probe entry = {lab_offset(first), FN_FIRST};
	struct hp_probe_set sets[] = {
		{.role = HP_PROBE_ENTRY, .file_fd = l->self, .v = &entry, .n = 1},
		{.role = HP_PROBE_EXIT, .file_fd = l->sock, .v = &entry, .n = 1}};
	struct hp_err err = {0};

	lab_session_end(l);
	assert_int_equal(hp_session_begin(&l->s, l->v, watched_names, N_FNS, &err), 0);
	assert_true(hp_session_attach(l->s, l->pid, sets, 2, &err) < 0);
	assert_non_null(strstr(err.text, "1 exit probes"));
	assert_int_equal(lab_first_byte(l), 0x90);
	assert_true(hp_session_alive(l->s));
	/* and the keeper goes on */
	assert_int_equal(hp_session_attach(l->s, l->pid, sets, 1, &err), 0);
	assert_int_equal(lab_first_byte(l), 0xcc);
	lab_let(l, 'c');
	assert_int_equal(hp_session_total(l->s), 1);
}

static void hold_does_nothing(void **state)
{
	struct lab *l = *state;
	const struct hp_probe at = {lab_offset(first), FN_FIRST};
	const struct hp_probe_set set = {
		.role = HP_PROBE_HOLD, .file_fd = l->self, .v = &at, .n = 1};

	lab_session_end(l);
	assert_int_equal(hp_session_begin(&l->s, l->v, watched_names, N_FNS, NULL), 0);
	assert_int_equal(hp_session_attach(l->s, l->pid, &set, 1, NULL), 0);
	assert_int_equal(lab_first_byte(l), 0xcc);
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 0);
}

static void refuses_what_cannot_be_probed(void **state)
{
	struct lab *l = *state;
	static const char *many[HP_SLOT_FNS + 1];
	struct hp_session *s = NULL;
	struct hp_err err = {0};
	pid_t pid = l->pid;

	assert_int_equal(hp_session_begin(&s, l->v, many, HP_SLOT_FNS + 1, &err), -E2BIG);
	assert_null(s);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)l->pid, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(lab_attach(l, l->s, &err), -HP_E_TARGET); /* a zombie's main thread */
	waitpid(l->pid, NULL, 0);
	assert_int_equal(lab_attach(l, l->s, &err), -HP_E_GONE);
	l->pid = pid;
	assert_true(hp_session_alive(l->s));
}

static pid_t fork_job(const struct lab *l)
{
	pid_t job;

	hp_view_fork(l->v, true);
	job = fork();
	hp_view_fork(l->v, false);
	return job;
}

/* hpd opens watch and view; the session is its job's. */
static void job_inherits_watch_and_view(void **state)
{
	struct lab *l = *state;
	int status;
	pid_t job;

	lab_session_end(l);
	job = fork_job(l);
	if (!job) {
		l->s = lab_session(l);
		lab_let(l, 'r');
		_exit(hp_session_total(l->s) == 5 && lab_in_flight(l, FN_FIRST) == 3 ? 0 : 1);
	}
	waitpid(job, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* the job ended inside its session; the counters are still to be read here */
	assert_int_equal(hp_view_state(l->v)->entries, 5);
	lab_let(l, '.');
	l->s = lab_session(l);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	lab_let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
}

/* The keeper does what a killed job could not. */
static void session_of_a_killed_job_is_over(void **state)
{
	struct lab *l = *state;
	int to_us[2], keeper;
	pid_t job, keeper_pid;

	lab_session_end(l);
	assert_int_equal(pipe2(to_us, O_CLOEXEC), 0);
	job = fork_job(l);
	if (!job) {
		l->s = lab_session(l);
		lab_let(l, 'r');
		keeper_pid = hp_session_keeper(l->s);
		if (hp_write_all(to_us[1], &keeper_pid, sizeof(keeper_pid)))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(hp_read_all(to_us[0], &keeper_pid, sizeof(keeper_pid)), 0);
	assert_true(hp_view_state(l->v)->session != 0);
	keeper = (int)syscall(SYS_pidfd_open, keeper_pid, 0);
	assert_true(keeper >= 0);
	kill(job, SIGKILL);
	waitpid(job, NULL, 0);
	lab_await(keeper);
	assert_int_equal(hp_view_state(l->v)->session, 0);
	assert_int_equal(hp_view_state(l->v)->total, 5);
	lab_let(l, '.');
	assert_int_equal(hp_view_state(l->v)->total, 5);
	close(keeper);
	close(to_us[0]);
	close(to_us[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(probes_of_an_earlier_session_count_nothing),
		TEST(probes_of_an_earlier_view_count_nothing),
		TEST(sessions_in_quick_succession_do_not_mix),
		TEST(dead_keeper_is_noticed),
		TEST(attaches_all_or_nothing),
		TEST(hold_does_nothing),
		TEST(refuses_what_cannot_be_probed),
		TEST(job_inherits_watch_and_view),
		TEST(session_of_a_killed_job_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
