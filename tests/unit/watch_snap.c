/* SPDX-License-Identifier: MIT */
/* The program "snap", against what /proc says of the same thread. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fd.h"
#include "hp/err.h"
#include "watch/watch.h"
#include "../services/tied.h"

_Static_assert(sizeof(((struct hp_snap *)0)->regs) == 21 * 8, "as struct pt_regs of the kernel");

struct lab {
	struct hp_watch *w;
	pid_t pid;
	int sock;
};

static int lab_begin(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));
	struct hp_err err = {0};
	int sv[2];

	if (!l || hp_watch_open(&l->w, &err) || hp_socketpair(sv))
		return -1;
	l->pid = tied_fork();
	if (!l->pid) {
		char c = 0;

		close(sv[0]);
		while (hp_recv_fds(sv[1], &c, 1, NULL, NULL) == 0)
			(void)hp_send_fds(sv[1], &c, 1, NULL, 0); /* the test would see none */
		_exit(0);
	}
	close(sv[1]);
	l->sock = sv[0];
	*state = l;
	return 0;
}

static int lab_end(void **state)
{
	struct lab *l = *state;

	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	hp_watch_close(l->w);
	close(l->sock);
	free(l);
	return 0;
}

static struct hp_snap snap(const struct lab *l, pid_t tid)
{
	struct hp_snap a = {.tid = tid};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &a, .ctx_size_in = sizeof(a));

	assert_int_equal(bpf_prog_test_run_opts(hp_watch_snap_prog(l->w), &opts), 0);
	assert_int_equal(opts.retval, 0);
	return a;
}

/* /proc/PID/syscall of a thread that sleeps: number, six arguments, sp, pc; else "running". */
static bool blocked_call(pid_t pid, unsigned long v[9])
{
	char path[32], *text = NULL;
	int n;

	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	assert_int_equal(hp_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	n = sscanf(text, "%lu %lx %lx %lx %lx %lx %lx %lx %lx", &v[0], &v[1], &v[2], &v[3], &v[4],
		   &v[5], &v[6], &v[7], &v[8]);
	free(text);
	return n == 9;
}

static void await_blocked(pid_t pid, unsigned long v[9])
{
	for (int i = 0; i < 1000000; i++) {
		if (blocked_call(pid, v))
			return;
		sched_yield();
	}
	fail_msg("process %d does not block", (int)pid);
}

static void reads_a_blocked_thread(void **state)
{
	struct lab *l = *state;
	struct user_regs_struct regs;
	unsigned long v[9];
	struct hp_snap a, b;

	await_blocked(l->pid, v);
	a = snap(l, l->pid);
	assert_int_equal(a.found, 1);
	assert_int_equal(a.on_cpu, 0);
	assert_true(a.switches > 0);
	memcpy(&regs, a.regs, sizeof(a.regs));
	assert_int_equal(regs.orig_rax, v[0]);
	assert_int_equal(regs.rdi, v[1]);
	assert_int_equal(regs.rsi, v[2]);
	assert_int_equal(regs.r10, v[4]);
	assert_int_equal(regs.r9, v[6]);
	assert_int_equal(regs.rsp, v[7]);
	assert_int_equal(regs.rip, v[8]);
	b = snap(l, l->pid);
	assert_int_equal(b.switches, a.switches);
	assert_memory_equal(b.regs, a.regs, sizeof(a.regs));
}

static void switch_count_tells_that_it_ran(void **state)
{
	struct lab *l = *state;
	unsigned long v[9];
	struct hp_snap a;
	char c = 'x';

	await_blocked(l->pid, v);
	a = snap(l, l->pid);
	assert_int_equal(hp_send_fds(l->sock, &c, 1, NULL, 0), 0);
	assert_int_equal(hp_recv_fds(l->sock, &c, 1, NULL, NULL), 0);
	assert_true(snap(l, l->pid).switches > a.switches);
}

static void tells_who_is_running_and_who_is_gone(void **state)
{
	struct lab *l = *state;

	assert_int_equal(snap(l, getpid()).on_cpu, 1);
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	assert_int_equal(snap(l, l->pid).found, 0);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_a_blocked_thread, lab_begin, lab_end),
		cmocka_unit_test_setup_teardown(switch_count_tells_that_it_ran, lab_begin, lab_end),
		cmocka_unit_test_setup_teardown(tells_who_is_running_and_who_is_gone, lab_begin,
						lab_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
