/* SPDX-License-Identifier: MIT */
/* What rules speak of is the system's word, and not that of whoever has the process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/access.h"
#include "hp/err.h"
#include "rig/sleeper.h"
#include "target/target.h"
#include "../services/tied.h"

static void a_unit_is_of_the_systems_naming(void **state)
{
	static const struct {
		const char *cgroups, *unit;
	} v[] = {
		{"0::/system.slice/redis.service\n", "redis.service"},
		{"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"},
		{"1:name=systemd:/system.slice/a.service\n0::/user.slice/user-1.slice/session-5.scope\n",
		 "session-5.scope"},
		/* Named by a user, in what his manager was delegated; by a service; in a container. */
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service\n",
		 "user@1000.service"},
		{"0::/system.slice/runner.service/redis.service\n", "runner.service"},
		{"0::/machine.slice/machine-x.scope/payload/system.slice/redis.service\n",
		 "machine-x.scope"},
		/* systemd's way to write "cpu.service" and "_x.service". */
		{"0::/system.slice/_cpu.service\n", "cpu.service"},
		{"0::/system.slice/__x.service/a.service\n", "_x.service"},
		{"0::/\n", ""},
		{"0::/system.slice\n", ""},
		{"0::/.service/x.services\n", ""},
		{"0::/..\n1:name=systemd:/redis.service\n", ""},
		{"1:name=systemd:/redis.service\n", ""},
		{"0::\n1:name=systemd:/redis.service\n", ""},
		{"", ""},
	};
	char unit[HP_ACCESS_UNIT];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		hp_access_unit(v[i].cgroups, unit);
		assert_string_equal(unit, v[i].unit);
	}
}

/* Setfsuid(2) leaves the capability in force that opens /proc/PID/root. */
static void nobody_opens_through_another_process(void **state)
{
	static const char *const ways[] = {"root/etc/passwd", "cwd/etc/passwd", "exe"};
	struct hp_peer root = {.known = true, .n_gids = 1};
	struct hp_peer nobody = {.known = true, .uid = 65534, .gid = {65534}, .n_gids = 1};
	pid_t pid = sleeper_start();
	struct hp_err err;
	char path[64];
	int fd;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, ways[i]);
		assert_int_equal(hp_access_open_file(&nobody, path, &err), -HP_E_NO_FILE);
		if (!strstr(err.text, path) || !strstr(err.text, "for root only"))
			fail_msg("%s", err.text);
		snprintf(path, sizeof(path), "/proc/self/%s", ways[i]);
		assert_int_equal(hp_access_open_file(&nobody, path, &err), -HP_E_NO_FILE);
	}
	snprintf(path, sizeof(path), "/proc/%d/root/etc/passwd", pid);
	fd = hp_access_open_file(&root, path, &err);
	assert_true(fd >= 0);
	close(fd);
	fd = hp_access_open_file(&nobody, "/etc/passwd", &err);
	assert_true(fd >= 0);
	close(fd);
	sleeper_end(pid);
}

/* --- names ------------------------------------------------------------------------------------------- */

#define SERVER "/run/hp/server (deleted)"

/* Executes @program; in @fd, where that is an open one. */
static pid_t execute(const char *program, int fd)
{
	char *argv[] = {"sleep", "1000", NULL}, *none[] = {NULL};
	int gone[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(gone, O_CLOEXEC), 0);
	pid = tied_fork();
	if (pid == 0) {
		execveat(fd, program, argv, none, *program ? 0 : AT_EMPTY_PATH);
		_exit(1);
	}
	close(gone[1]);
	assert_int_equal(read(gone[0], &c, 1), 0);
	close(gone[0]);
	return pid;
}

static bool is_roots(pid_t pid, const char *name)
{
	struct hp_access_facts f;
	struct hp_target *t;
	struct hp_err err;

	if (hp_target_open(&t, pid, &err) < 0 || hp_access_facts(t, &f, &err) < 0)
		fail_msg("%s", err.text);
	hp_target_free(t);
	assert_string_equal(f.exe, name);
	return f.t.exe_roots;
}

static void make_server(mode_t mode)
{
	assert_int_equal(system("cp /bin/sleep /run/hp/server"), 0);
	assert_int_equal(chmod("/run/hp/server", mode), 0);
}

static void a_name_may_be_that_of_a_file_before(void **state)
{
	for (int i = 0; i < 2; i++) {
		pid_t pid;

		make_server(i ? 0775 : 0755);
		pid = execute("/run/hp/server", AT_FDCWD);
		assert_int_equal(unlink("/run/hp/server"), 0);
		assert_int_equal(is_roots(pid, SERVER), !i);
		sleeper_end(pid);
	}
}

/* As a user has it in a namespace of his own, whose descriptors are good in any. */
static int open_elsewhere(pid_t *keeper)
{
	int ready[2];
	char path[64];
	int there;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	*keeper = tied_fork();
	if (*keeper == 0) {
		int fd = -1;

		if (unshare(CLONE_NEWNS) == 0 && mount("none", "/run/hp", "tmpfs", 0, NULL) == 0 &&
		    mknod(SERVER, S_IFREG | 0755, 0) == 0 &&
		    mount("/bin/sleep", SERVER, NULL, MS_BIND, NULL) == 0)
			fd = open(SERVER, O_PATH | O_CLOEXEC);
		if (fd < 0 || write(ready[1], &fd, sizeof(fd)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &there, sizeof(there)), sizeof(there));
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", *keeper, there);
	return open(path, O_PATH | O_CLOEXEC);
}

static void a_name_may_be_of_anothers_giving(void **state)
{
	pid_t keeper, pid;
	int fd = open_elsewhere(&keeper);

	assert_true(fd >= 0);
	pid = execute("", fd);
	assert_false(is_roots(pid, SERVER));
	close(fd);
	sleeper_end(pid);
	sleeper_end(keeper);
}

static int mounts_of_our_own(void **state)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (mkdir("/run/hp", 0755) && errno != EEXIST))
		return -1;
	return mount("none", "/run/hp", "tmpfs", 0, NULL);
}

/* The directory of this process and of its children. */
static int go_to_root(void **state)
{
	return chdir("/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_is_of_the_systems_naming),
		cmocka_unit_test_setup(nobody_opens_through_another_process, go_to_root),
		cmocka_unit_test(a_name_may_be_that_of_a_file_before),
		cmocka_unit_test(a_name_may_be_of_anothers_giving),
	};

	return cmocka_run_group_tests(tests, mounts_of_our_own, NULL);
}
