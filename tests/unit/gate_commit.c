/* SPDX-License-Identifier: MIT */
/* A target whose threads read the gate page, and everything that can open the gate. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
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
#include "base/fd.h"
#include "gate/gate.h"
#include "hp/err.h"
#include "../services/tied.h"

#define THREADS_MAX 512
#define LONG_NS     (60 * HP_S) /* a budget that no test reaches */

/* Shared with the target. */
struct board {
	volatile unsigned char seen[THREADS_MAX];
	pid_t tid[THREADS_MAX];
	uintptr_t page;
	int uffd;
};

struct target {
	pid_t pid;
	int sock; /* one byte a command, one byte back */
	struct board *board;
};

static struct board *board; /* in the target */

static void *caller(void *arg)
{
	size_t i = (size_t)arg;

	board->tid[i] = (pid_t)syscall(SYS_gettid);
	board->seen[i] = *(volatile unsigned char *)board->page;
	return NULL;
}

static void fresh_page(void)
{
	board->page = (uintptr_t)mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	board->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	memset((void *)board->seen, 0xff, sizeof(board->seen));
}

static void call_gate(size_t n)
{
	pthread_t t[THREADS_MAX];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&t[i], &attr, caller, (void *)i))
			_exit(3);
	for (size_t i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

_Noreturn static void target_main(int sock)
{
	uint16_t q[2];

	while (hp_recv_fds(sock, q, sizeof(q), NULL, NULL) == 0) {
		if (q[0] == 'p')
			fresh_page();
		else if (q[0] == 'c')
			close(board->uffd);
		else
			call_gate(q[1]);
		if (hp_send_fds(sock, "", 1, NULL, 0))
			break;
	}
	_exit(0);
}

static void tell(const struct target *t, char what, unsigned n)
{
	uint16_t q[2] = {(uint16_t)what, (uint16_t)n};

	assert_int_equal(hp_send_fds(t->sock, q, sizeof(q), NULL, 0), 0);
}

static void await_done(const struct target *t)
{
	char c;

	assert_int_equal(hp_recv_fds(t->sock, &c, 1, NULL, NULL), 0);
}

static int target_begin(void **state)
{
	struct target *t = calloc(1, sizeof(*t));
	int sv[2];

	if (!t || hp_socketpair(sv))
		return -1;
	t->board = board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t->pid = tied_fork();
	if (!t->pid) {
		close(sv[0]);
		target_main(sv[1]);
	}
	close(sv[1]);
	t->sock = sv[0];
	*state = t;
	return 0;
}

static int target_end(void **state)
{
	struct target *t = *state;

	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->sock);
	munmap(t->board, sizeof(*t->board));
	free(t);
	return 0;
}

static void arm(struct hp_gate *g, const struct target *t)
{
	struct hp_err err = {0};

	tell(t, 'p', 0);
	await_done(t);
	if (hp_gate_arm(g, t->pid, t->board->uffd, t->board->page, &err))
		fail_msg("%s", err.text);
	tell(t, 'c', 0);
	await_done(t);
}

static struct hp_gate *start_armed(const struct target *t)
{
	struct hp_err err = {0};
	struct hp_gate *g = NULL;

	if (hp_gate_start(&g, &err))
		fail_msg("%s", err.text);
	arm(g, t);
	return g;
}

static struct hp_gate_event next_event(struct hp_gate *g)
{
	struct pollfd p = {.fd = hp_gate_fd(g), .events = POLLIN};
	struct hp_gate_event ev = {0};
	struct hp_err err = {0};
	int r;

	for (;;) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		r = hp_gate_next(g, &ev, &err);
		if (r < 0)
			fail_msg("%s", err.text);
		if (r)
			return ev;
	}
}

static bool is_caller(const struct target *t, pid_t tid, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (t->board->tid[i] == tid)
			return true;
	return false;
}

static void await_parked(struct hp_gate *g, const struct target *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct hp_gate_event ev = next_event(g);

		assert_int_equal(ev.kind, HP_GATE_PARKED);
		assert_true(is_caller(t, ev.tid, n));
		assert_true(ev.time_ns <= hp_now_ns());
	}
}

static void assert_all_saw(const struct target *t, unsigned n, unsigned char value)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(t->board->seen[i], value);
}

static void commit_lets_all_go_to_new(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);

	assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
	tell(t, 'g', 16);
	await_parked(g, t, 16);
	assert_int_equal(hp_gate_commit(g, NULL), 0);
	await_done(t);
	assert_all_saw(t, 16, 1);
	/* and whoever comes later does not park */
	tell(t, 'g', 1);
	await_done(t);
	assert_all_saw(t, 1, 1);
	hp_gate_stop(g);
}

static void cancel_lets_all_go_to_old(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);

	assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
	tell(t, 'g', 8);
	await_parked(g, t, 8);
	assert_int_equal(hp_gate_cancel(g, NULL), 0);
	await_done(t);
	assert_all_saw(t, 8, 0);
	hp_gate_stop(g);
}

static void deadline_lets_all_go_to_old(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	struct hp_gate_event ev;
	struct hp_err err = {0};

	tell(t, 'g', 8);
	await_parked(g, t, 8);
	assert_int_equal(hp_gate_close(g, HP_MS, NULL), 0);
	ev = next_event(g);
	assert_int_equal(ev.kind, HP_GATE_DEADLINE);
	await_done(t);
	assert_all_saw(t, 8, 0);
	assert_int_equal(hp_gate_commit(g, &err), -ETIME);
	assert_non_null(strstr(err.text, "1.0 ms"));
	assert_int_equal(hp_gate_cancel(g, NULL), -ETIME);
	hp_gate_stop(g);
}

static void can_be_armed_again(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
		tell(t, 'g', 4);
		if (i & 2) /* otherwise the events of this arming are left to go stale */
			await_parked(g, t, 4);
		assert_int_equal(i & 1 ? hp_gate_commit(g, NULL) : hp_gate_cancel(g, NULL), 0);
		await_done(t);
		assert_all_saw(t, 4, i & 1);
		arm(g, t);
	}
	tell(t, 'g', 2);
	await_parked(g, t, 2);
	assert_int_equal(hp_gate_commit(g, NULL), 0);
	await_done(t);
	hp_gate_stop(g);
}

static void death_of_the_gatekeeper_opens_to_old(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	struct hp_gate_event ev;
	struct hp_err err = {0};
	struct pollfd p = {.fd = hp_gate_fd(g), .events = POLLIN};

	assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
	tell(t, 'g', 8);
	await_parked(g, t, 8);
	kill(hp_gate_pid(g), SIGKILL);
	await_done(t);
	assert_all_saw(t, 8, 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(hp_gate_next(g, &ev, &err), -HP_E_FAILED);
	assert_int_equal(hp_gate_commit(g, &err), -HP_E_FAILED);
	assert_non_null(strstr(err.text, "gatekeeper"));
	hp_gate_stop(g);
}

/* It neither dies nor keeps its deadline: whoever watches the gate notices. */
static void a_stopped_gatekeeper_is_killed(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	struct hp_gate_event ev;
	struct hp_err err = {0};
	int r = 0;

	assert_int_equal(hp_gate_close(g, 200 * HP_MS, NULL), 0);
	tell(t, 'g', 8);
	kill(hp_gate_pid(g), SIGSTOP);
	for (int i = 0; i < 3000 && r >= 0; i++) {
		r = hp_gate_next(g, &ev, &err);
		hp_pause_ns(HP_MS);
	}
	assert_int_equal(r, -HP_E_FAILED);
	await_done(t);
	assert_all_saw(t, 8, 0);
	assert_int_equal(hp_gate_commit(g, &err), -HP_E_FAILED);
	hp_gate_stop(g);
}

static void a_stopped_gatekeeper_is_not_waited_for(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	uint64_t since = hp_now_ns();

	assert_int_equal(hp_gate_close(g, HP_S, NULL), 0);
	tell(t, 'g', 8);
	await_parked(g, t, 8);
	kill(hp_gate_pid(g), SIGSTOP);
	assert_int_equal(hp_gate_commit(g, NULL), -HP_E_FAILED);
	await_done(t);
	assert_all_saw(t, 8, 0);
	print_message("a budget of 1000 ms: open after %.0f ms\n", (double)(hp_now_ns() - since) / HP_MS);
	hp_gate_stop(g);
}

static void stop_opens_to_old(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);

	assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
	tell(t, 'g', 4);
	await_parked(g, t, 4);
	hp_gate_stop(g);
	await_done(t);
	assert_all_saw(t, 4, 0);
}

static void death_of_the_job_opens_to_old(void **state)
{
	struct target *t = *state;
	int sv[2];
	char c;
	pid_t job;

	assert_int_equal(hp_socketpair(sv), 0);
	job = fork();
	if (!job) {
		struct hp_gate *g = start_armed(t);

		if (hp_gate_close(g, LONG_NS, NULL) || hp_send_fds(sv[1], "", 1, NULL, 0))
			_exit(1);
		pause();
	}
	assert_int_equal(hp_recv_fds(sv[0], &c, 1, NULL, NULL), 0);
	tell(t, 'g', 8);
	kill(job, SIGKILL);
	waitpid(job, NULL, 0);
	await_done(t);
	assert_all_saw(t, 8, 0);
	close(sv[0]);
	close(sv[1]);
}

/* Budgets around what a commit takes, so that both get their share; whoever wins, all agree. */
static void commit_and_deadline_never_mix(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	unsigned won[2] = {0};

	for (unsigned i = 0; i < 300; i++) {
		bool new;
		int r;

		tell(t, 'g', 6);
		await_parked(g, t, 6);
		assert_int_equal(hp_gate_close(g, i % 100 * 2 * HP_US, NULL), 0);
		r = hp_gate_commit(g, NULL);
		assert_true(r == 0 || r == -ETIME);
		new = r == 0;
		won[new]++;
		await_done(t);
		assert_all_saw(t, 6, new);
		arm(g, t);
	}
	assert_true(won[0] > 0); /* a budget of 0 ns cannot be met */
	print_message("commit first: %u, deadline first: %u\n", won[1], won[0]);
	hp_gate_stop(g);
}

/* An event pipe that is full must neither lose a parked thread nor hold up the commit. */
static void no_event_is_lost(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);

	assert_true(fcntl(hp_gate_fd(g), F_SETPIPE_SZ, 4096) > 0);
	tell(t, 'g', 400);
	await_parked(g, t, 400);
	assert_int_equal(hp_gate_commit(g, NULL), 0);
	await_done(t);
	assert_all_saw(t, 400, 1);

	arm(g, t);
	tell(t, 'g', 400);
	assert_int_equal(next_event(g).kind, HP_GATE_PARKED);
	assert_int_equal(hp_gate_commit(g, NULL), 0);
	await_done(t);
	assert_all_saw(t, 400, 1);
	hp_gate_stop(g);
}

static void says_when_the_target_is_gone(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	struct hp_err err = {0};

	assert_int_equal(hp_gate_close(g, LONG_NS, NULL), 0);
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	assert_int_equal(hp_gate_commit(g, &err), -HP_E_GONE);
	assert_int_equal(hp_gate_arm(g, t->pid, 3, HP_PAGE, &err), -HP_E_GONE);
	hp_gate_stop(g);
}

static void refuses_what_is_not_armed(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = NULL;
	struct hp_err err = {0};

	assert_int_equal(hp_gate_start(&g, &err), 0);
	assert_int_equal(hp_gate_close(g, LONG_NS, &err), -EINVAL);
	assert_int_equal(hp_gate_commit(g, &err), -EINVAL);
	assert_int_equal(hp_gate_cancel(g, &err), -EINVAL);
	assert_int_equal(hp_gate_arm(g, t->pid, 999, HP_PAGE, &err), -EBADF);
	arm(g, t);
	assert_int_equal(hp_gate_commit(g, &err), 0);
	assert_int_equal(hp_gate_commit(g, &err), -EINVAL);
	hp_gate_stop(g);
}

static int status_field(pid_t pid, const char *name)
{
	char path[64], *text = NULL, *at;
	int value;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_int_equal(hp_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
	at = strstr(text, name);
	assert_non_null(at);
	value = atoi(at + strlen(name));
	free(text);
	return value;
}

static void is_confined(void **state)
{
	struct target *t = *state;
	struct hp_gate *g = start_armed(t);
	char path[64];
	unsigned open_fds = 0;

	for (int fd = 0; fd < 1024; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)hp_gate_pid(g), fd);
		open_fds += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	assert_int_equal(open_fds, 4); /* socket, pipe, eventfd, userfaultfd */
#ifndef __SANITIZE_ADDRESS__
	assert_int_equal(status_field(hp_gate_pid(g), "\nSeccomp:"), 2);
#endif
	assert_int_equal(status_field(hp_gate_pid(g), "\nThreads:"), 2);
	hp_gate_stop(g);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, target_begin, target_end)
	const struct CMUnitTest tests[] = {
		TEST(commit_lets_all_go_to_new),
		TEST(cancel_lets_all_go_to_old),
		TEST(deadline_lets_all_go_to_old),
		TEST(can_be_armed_again),
		TEST(death_of_the_gatekeeper_opens_to_old),
		TEST(a_stopped_gatekeeper_is_killed),
		TEST(a_stopped_gatekeeper_is_not_waited_for),
		TEST(stop_opens_to_old),
		TEST(death_of_the_job_opens_to_old),
		TEST(commit_and_deadline_never_mix),
		TEST(no_event_is_lost),
		TEST(says_when_the_target_is_gone),
		TEST(refuses_what_is_not_armed),
		TEST(is_confined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
