/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"

static void test_nobody_executes_a_memfd(void **state)
{
	struct stat st;
	int fd;

	if (access("/proc/sys/vm/memfd_noexec", F_OK)) /* before Linux 6.3 */
		skip();
	fd = hp_memfd("test", MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0111, 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	close(fd);
}

static void test_a_dead_process_does_not_live(void **state)
{
	siginfo_t info;
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (!pid)
		for (;;)
			pause();
	fd = pidfd_open(pid, 0);
	assert_true(fd >= 0);
	assert_true(hp_pidfd_lives(fd));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_false(hp_pidfd_lives(fd));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(hp_pidfd_lives(fd));
	close(fd);
	assert_false(hp_pidfd_lives(fd));
	assert_false(hp_pidfd_lives(-1));
}

static void test_a_file_is_whole_or_refused(void **state)
{
	static const char name[] = "comm";
	int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *text = NULL;
	size_t n;

	assert_true(dir >= 0);
	assert_int_equal(hp_read_file(dir, name, 64, &text, &n), 0);
	assert_int_equal(strlen(text), n);
	assert_int_equal(text[n - 1], '\n');
	free(text);
	assert_int_equal(hp_read_file(dir, name, n, &text, NULL), 0);
	free(text);
	assert_int_equal(hp_read_file(dir, name, n - 1, &text, NULL), -EFBIG);
	assert_int_equal(hp_read_file(dir, "no such file", 64, &text, NULL), -ENOENT);
	close(dir);
}

static void test_an_early_end_is_told(void **state)
{
	char four[4];
	int end[2];

	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(hp_write_all(end[1], "abcdef", 6), 0);
	hp_close(&end[1]);
	assert_int_equal(end[1], -1);
	assert_int_equal(hp_read_all(end[0], four, sizeof(four)), 0);
	assert_memory_equal(four, "abcd", 4);
	assert_int_equal(hp_read_all(end[0], four, sizeof(four)), -ENODATA);
	hp_close(&end[0]);
}

/* Of a record that is not the expected one nothing is kept: no descriptor either. */
static void test_records(void **state)
{
	int sv[2], got[2] = {-1, -1}, next;
	size_t n = 2;
	char c[2];

	assert_int_equal(hp_socketpair(sv), 0);
	next = dup(sv[0]);
	close(next);
	assert_int_equal(hp_send_fds(sv[0], "x", 1, (int[]){0, 1}, 2), 0);
	assert_int_equal(hp_recv_fds(sv[1], c, 1, got, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		hp_close(&got[i]);
	}
	n = 2;
	assert_int_equal(hp_send_fds(sv[0], "xy", 2, (int[]){0}, 1), 0);
	assert_int_equal(hp_recv_fds(sv[1], c, 1, got, &n), -EBADMSG);
	assert_int_equal(n, 0);
	n = 1;
	assert_int_equal(hp_send_fds(sv[0], "x", 1, (int[]){0, 1}, 2), 0);
	assert_int_equal(hp_recv_fds(sv[1], c, 1, got, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(got[0], next);
	assert_int_equal(fcntl(next + 1, F_GETFD), -1);
	hp_close(&got[0]);
	hp_close(&sv[0]);
	n = 2;
	assert_int_equal(hp_recv_fds(sv[1], c, 1, got, &n), -ECONNRESET);
	hp_close(&sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dead_process_does_not_live),
		cmocka_unit_test(test_nobody_executes_a_memfd),
		cmocka_unit_test(test_a_file_is_whole_or_refused),
		cmocka_unit_test(test_an_early_end_is_told),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
