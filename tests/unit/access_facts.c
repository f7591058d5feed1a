/* SPDX-License-Identifier: MIT */
/* What rules speak of is the system's word, and not that of whoever has the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "access/access.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_is_of_the_systems_naming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
