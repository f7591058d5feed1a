/* SPDX-License-Identifier: MIT */
/* A process that is named by a number is the one that was meant, or it is nobody. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "access/access.h"
#include "base/fd.h"
#include "elf/patchinfo.h"
#include "hp/err.h"
#include "rig/sleeper.h"
#include "target/target.h"

static void another_of_that_number_is_refused(void **state)
{
	struct hp_peer root = {.known = true};
	struct hp_access access = {0};
	struct hp_access_question q = {.access = &access, .peer = &root, .right = HP_RIGHT_SEE};
	pid_t meant = sleeper_start(), found = sleeper_start();
	struct hp_pairs seal = {0};
	struct hp_target *t;
	struct hp_err err;

	assert_int_equal(hp_policy_parse("allow root\n", "policy", &access.policy, &err), 0);
	assert_int_equal(hp_target_open(&t, found, &err), 0);
	q.process = pidfd_open(meant, 0);
	assert_true(q.process >= 0);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), 0);
	sleeper_end(meant);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), -HP_E_GONE);
	hp_close(&q.process);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), 0);
	hp_target_free(t);
	sleeper_end(found);
	hp_access_free(&access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_of_that_number_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
