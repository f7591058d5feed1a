/* SPDX-License-Identifier: MIT */
/* What rules speak of is the system's word, and not that of whoever has the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/access.h"
#include "hp/err.h"
#include "rig/sleeper.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
