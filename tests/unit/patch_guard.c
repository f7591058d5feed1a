/* SPDX-License-Identifier: MIT */
/* The guard's look at many, some of which do not answer: its time is bounded, whoever they are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "patch/ops.h"
#include "../services/tied.h"

#define PAGE	  4096
#define SILENT	  40	     /* of which each takes a quarter of a second: more than there is time */
#define JOB_NS	  (10 * HP_S) /* GUARD_NS in daemon/job.c */

/* A mapping of hp's name, of which nobody ever gives a page. */
static void fall_silent(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.range.len = PAGE, .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = memfd_create("hp-patch-1234567890abcdef", MFD_CLOEXEC);
	int silence = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	void *at;

	if (fd < 0 || ftruncate(fd, PAGE) || silence < 0)
		_exit(1);
	at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	all.range.start = (uintptr_t)at;
	if (at == MAP_FAILED || ioctl(silence, UFFDIO_API, &api) ||
	    ioctl(silence, UFFDIO_REGISTER, &all))
		_exit(1);
}

static pid_t start(bool silent)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = tied_fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (silent)
			fall_silent();
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_its_time_is_bounded(void **state)
{
	pid_t v[SILENT + 2];
	const struct hp_pids pids = {.v = v, .n = SILENT + 2};
	uint64_t since, lost_ns = 0;
	struct hp_guard g = {0};
	size_t lost = 0, i;

	for (i = 0; i < pids.n; i++)
		v[i] = start(i && i + 1 < pids.n);
	since = hp_now_ns();
	assert_int_equal(hp_op_guard_look(&pids, &g, NULL), 0);
	assert_true(hp_now_ns() - since < JOB_NS);
	assert_int_equal(g.targets.n, pids.n);
	assert_int_equal(g.sites.n, 0);
	for (i = 0; i < pids.n; i++)
		assert_int_equal(g.targets.v[i].pid, v[i]);
	assert_int_equal(g.targets.v[0].outcome, HP_GUARD_LOOKED);
	assert_int_equal(g.targets.v[0].patches, 0);
	for (i = 1; g.targets.v[i].outcome == HP_GUARD_LOST; i++, lost++)
		lost_ns += g.targets.v[i].ns;
	assert_in_range(lost, 4, SILENT - 1);
	assert_in_range(lost_ns, 3 * HP_S, JOB_NS);
	/* Whose time it took is not to blame. */
	for (; i < pids.n; i++)
		assert_int_equal(g.targets.v[i].outcome, HP_GUARD_PASSED_OVER);
	hp_guard_free(&g);
	for (i = 0; i < pids.n; i++)
		end(v[i]);
}

static void test_one_alone_has_more(void **state)
{
	pid_t one = start(true);
	const struct hp_pids pids = {.v = &one, .n = 1};
	struct hp_guard g = {0};

	assert_int_equal(hp_op_guard_look(&pids, &g, NULL), 0);
	assert_int_equal(g.targets.n, 1);
	assert_int_equal(g.targets.v[0].outcome, HP_GUARD_LOST);
	assert_in_range(g.targets.v[0].ns, 3 * HP_S, JOB_NS);
	assert_non_null(strstr(g.targets.v[0].why, "takes too long"));
	hp_guard_free(&g);
	end(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_its_time_is_bounded),
		cmocka_unit_test(test_one_alone_has_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
