/* SPDX-License-Identifier: MIT */
/* The old generation is the processes that were looked at, whoever has their numbers by now. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <link.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/retire.h"
#include "restart/takeaway.h"
#include "rig/reborn.h"
#include "service/fds.h"
#include "target/target.h"
#include "../services/tied.h"

static struct hp_err err;
static struct hp_listeners listeners;
static int at; /* a listener, here and in all that is forked */

static void tell(void *arg, const char *step, const char *text)
{
}

static int set_up(void **state)
{
	static struct hp_listener one;
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	at = socket(AF_INET, SOCK_STREAM, 0);
	if (at < 0 || bind(at, (struct sockaddr *)&addr, sizeof(addr)) || listen(at, 5) ||
	    hp_listener_describe(&one, at) < 0)
		return -1;
	listeners = (struct hp_listeners){.v = &one, .n = 1};
	return 0;
}

static int tear_down(void **state)
{
	return close(at);
}

_Noreturn static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static pid_t start(void)
{
	pid_t pid = tied_fork();

	if (pid == 0)
		wait_for_ever();
	return pid;
}

static void replace(pid_t pid)
{
	if (reborn_fork(pid) == 0)
		wait_for_ever();
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A signal is there before the call that sends it returns, but it ends a process a moment later. */
static bool is_spared(pid_t pid)
{
	hp_pause_ns(20 * HP_MS);
	return waitpid(pid, NULL, WNOHANG) == 0;
}

static struct hp_retire begin(pid_t main, const struct hp_procs *group, enum hp_drain_way way)
{
	struct hp_retire r = {
		.listeners = &listeners, .way = way, .signal = SIGUSR1, .tell = tell};
	struct hp_target *t;

	if (hp_target_open(&t, main, &err) < 0 || hp_retire_hold(&r, t, group, &err) < 0)
		fail_msg("%s", err.text);
	hp_target_free(t); /* as it is when all was read of it */
	return r;
}

static void who_has_its_number_gets_no_signal(void **state)
{
	pid_t main = start();
	struct hp_procs group = {.v = &main, .n = 1};
	struct hp_retire r = begin(main, &group, HP_DRAIN_GRACEFUL);

	replace(main);
	assert_int_equal(hp_retire_begin(&r, 0, &err), 0);
	assert_int_equal(r.phase, HP_RETIRE_GONE);
	assert_true(is_spared(main));
	hp_retire_free(&r);
	end(main);
}

static void who_ends_later_is_gone(void **state)
{
	pid_t main = start();
	struct hp_procs group = {.v = &main, .n = 1};
	struct hp_retire r = begin(main, &group, HP_DRAIN_GRACEFUL);

	r.signal = SIGCONT; /* of which it knows nothing */
	assert_int_equal(hp_retire_begin(&r, 3600 * HP_S, &err), 0);
	assert_int_equal(r.phase, HP_RETIRE_DRAINING);
	assert_int_equal(r.procs.n, 1);
	replace(main);
	r.deadline_ns = 0;
	hp_retire_step(&r);
	assert_int_equal(r.phase, HP_RETIRE_GONE);
	assert_true(is_spared(main));
	hp_retire_free(&r);
	end(main);
}

/* Even one that has the listener: the new generation has. */
static void a_stranger_with_the_number_of_a_child_is_none(void **state)
{
	pid_t main = start(), stranger = start(), both[] = {main, stranger};
	struct hp_procs group = {.v = both, .n = 2};
	struct hp_retire r = begin(main, &group, HP_DRAIN_GRACEFUL);

	r.signal = SIGCONT;
	assert_int_equal(hp_retire_begin(&r, 0, &err), 0);
	assert_int_equal(r.phase, HP_RETIRE_STOPPING);
	assert_int_equal(r.procs.n, 1);
	assert_true(is_spared(stranger));
	assert_int_equal(waitpid(main, NULL, 0), main);
	hp_retire_free(&r);
	end(stranger);
}

/* Between the description and the switch lies the new one's start. */
static void what_was_forked_meanwhile_is_drained_too(void **state)
{
	int go[2], born[2];
	pid_t main, child;
	struct hp_procs group = {.v = &main, .n = 1};
	struct hp_retire r;

	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(born), 0);
	main = tied_fork();
	if (main == 0) {
		pid_t pid = read(go[0], &pid, 1) == 1 ? tied_fork() : -1;

		if (pid && write(born[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		wait_for_ever();
	}
	r = begin(main, &group, HP_DRAIN_GRACEFUL);
	r.signal = SIGCONT;
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(read(born[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(hp_retire_begin(&r, 3600 * HP_S, &err), 0);
	assert_int_equal(r.procs.n, 2);
	assert_true(hp_procs_have(&r.procs, child));
	hp_retire_free(&r);
	end(main);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(born[i]);
	}
}

static bool has_listener(pid_t pid)
{
	return hp_listeners_held_by(&listeners, pid);
}

static void nothing_is_taken_from_who_has_its_number(void **state)
{
	pid_t main = start();
	struct hp_procs group = {.v = &main, .n = 1};
	int held = pidfd_open(main, 0);

	replace(main);
	assert_int_equal(hp_take_away(&group, &held, &listeners, hp_now_ns() + 2 * HP_S, &err), 0);
	assert_true(has_listener(main));
	close(held);
	held = pidfd_open(main, 0);
	if (hp_take_away(&group, &held, &listeners, hp_now_ns() + 2 * HP_S, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(has_listener(main));
	assert_true(is_spared(main));
	close(held);
	end(main);
}

/* In a child: who follows the list of its libraries comes to a page that nobody ever fills. */
static void lead_astray(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	void *page = mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	all.range = (struct uffdio_range){(uintptr_t)page, HP_PAGE};
	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &all))
		_exit(1);
	_r_debug.r_map->l_next = page;
}

static void memory_that_does_not_answer_holds_nobody(void **state)
{
	int said[2];
	pid_t main;
	struct hp_procs group = {.v = &main, .n = 1};
	int held;

	assert_int_equal(pipe(said), 0);
	main = tied_fork();
	if (main == 0) {
		lead_astray();
		if (write(said[1], "", 1) != 1)
			_exit(1);
		wait_for_ever();
	}
	close(said[1]);
	assert_int_equal(read(said[0], &held, 1), 1);
	held = pidfd_open(main, 0);
	assert_int_equal(hp_take_away(&group, &held, &listeners, hp_now_ns(), &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "does not answer"));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* there is nobody but @main, which lives */
	close(held);
	close(said[0]);
	end(main);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_its_number_gets_no_signal),
		cmocka_unit_test(who_ends_later_is_gone),
		cmocka_unit_test(a_stranger_with_the_number_of_a_child_is_none),
		cmocka_unit_test(what_was_forked_meanwhile_is_drained_too),
		cmocka_unit_test(nothing_is_taken_from_who_has_its_number),
		cmocka_unit_test(memory_that_does_not_answer_holds_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
