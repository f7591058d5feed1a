/* SPDX-License-Identifier: MIT */
/* The guard: looks for a status, puts right in a job of the target, gives in to a stubborn probe. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "rig/daemon_rig.h"
#include "../services/tied.h"

static void load_into(pid_t pid)
{
	char path[160], body[512];
	int fd;

	snprintf(path, sizeof(path), "%s/ok.so", rig.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s\"}", pid, path);
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 200, STUB_ID);
}

static void load(void)
{
	load_into(rig.target);
}

static char *status(void)
{
	return rig_ask("GET", "/hp/v2/status", "", "");
}

/* What a job does after the answer is seen in a later one. */
static void wait_status(const char *part)
{
	for (int i = 0; i < 10000; i++) {
		if (strstr(status(), part))
			return;
		hp_pause_ns(HP_MS);
	}
	fail_msg("never in the status: %s", part);
}

static void looks_for_every_status(void **state)
{
	status();
	assert_int_equal(stub->guards, 0); /* at nothing */
	load();
	rig_expect(status(), 200, "\"set_atomic\":true");
	rig_expect(status(), 200, "\"seen\":0");
	assert_int_equal(stub->guards, 2);
	assert_int_equal(stub->mends, 0);
}

static void puts_right(void **state)
{
	load();
	stub->wrong = HP_GUARD_PROBE;
	stub->mendable = true;
	rig_expect(status(), 200, "\"found\":\"probe\"");
	wait_status("\"seen\":1,\"mended\":1,\"set_atomic\":true");
	assert_int_equal(stub->mends, 1);
}

static void gives_in_to_a_stubborn_probe(void **state)
{
	load();
	stub->wrong = HP_GUARD_PROBE;
	stub->mendable = stub->stubborn = true;
	wait_status("\"mended\":3");
	for (int i = 0; i < 5; i++)
		rig_expect(status(), 200, "\"set_atomic\":false");
	assert_int_equal(stub->mends, 3);
	/* What the file has there is no fight. */
	stub->wrong = HP_GUARD_ORIGINAL;
	stub->stubborn = false;
	wait_status("\"mended\":4,\"set_atomic\":true");
}

static void leaves_what_it_cannot_mend(void **state)
{
	load();
	stub->wrong = HP_GUARD_OTHER;
	for (int i = 0; i < 5; i++)
		rig_expect(status(), 200, "\"set_atomic\":false");
	wait_status("\"seen\":1");
	assert_int_equal(stub->mends, 0);
}

static void gives_in_where_nothing_can_be_put_right(void **state)
{
	load();
	stub->wrong = HP_GUARD_ORIGINAL;
	wait_status("\"seen\":3");
	for (int i = 0; i < 5; i++)
		rig_expect(status(), 200, "\"set_atomic\":false");
	assert_int_equal(stub->mends, 3);
}

static char *status_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/hp/v2/status?pid=%d", pid);
	return rig_ask("GET", path, "", "");
}

static void looks_less_often_where_that_comes_to_no_end(void **state)
{
	int looks;

	load();
	rig_expect(status(), 200, "\"lost\":0");
	stub->lost = rig.target;
	wait_status("\"lost\":3");
	looks = stub->guards;
	rig_expect(status(), 200, "\"set_atomic\":false");
	assert_int_equal(stub->guards, looks);
	/* Asked for alone it is looked at, as often as anybody likes. */
	for (int i = 0; i < 3; i++)
		rig_expect(status_of(rig.target), 200, "\"lost\":3");
	stub->lost = 0;
	rig_expect(status(), 200, "\"lost\":3");
	assert_int_equal(stub->guards, looks + 3);
	rig_expect(status_of(rig.target), 200, "\"lost\":0");
	rig_expect(status(), 200, "\"lost\":0");
	assert_int_equal(stub->guards, looks + 5);
}

static pid_t load_another(void)
{
	pid_t pid = tied_fork();

	assert_true(pid >= 0);
	if (!pid) {
		for (;;)
			pause();
	}
	load_into(pid);
	return pid;
}

static void end_another(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void who_was_passed_over_is_first(void **state)
{
	pid_t other;

	load();
	other = load_another();
	stub->passed_over = other;
	rig_expect(status(), 200, "\"looked\":null");
	rig_expect(status(), 200, "\"set_atomic\":false");
	assert_int_equal(stub->first, other);
	stub->passed_over = 0;
	assert_null(strstr(status(), "\"set_atomic\":false"));
	assert_int_equal(stub->first, other);
	end_another(other);
}

static void who_takes_long_is_looked_at_as_rarely(void **state)
{
	pid_t other;

	load();
	other = load_another();
	stub->slow = rig.target;
	status();
	assert_int_equal(stub->looked, 2);
	status();
	assert_int_equal(stub->looked, 1);
	assert_int_equal(stub->first, other);
	end_another(other);
}

static void looks_by_itself(void **state)
{
	load();
	stub->wrong = HP_GUARD_ORIGINAL;
	stub->mendable = true;
	for (int i = 0; i < 10000 && !__atomic_load_n(&stub->mends, __ATOMIC_SEQ_CST); i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(stub->mends, 1);
}

static void tells_of_an_exec(void **state)
{
	char body[64];

	load();
	stub->execed = true;
	stub->patches = 0;
	wait_status("\"targets\":[]");
	snprintf(body, sizeof(body), "{\"pid\":%d}", rig.target);
	rig_expect(rig_ask("POST", "/hp/v2/list", "", body), 200, "\"why\":\"exec\"");
	rig_expect(rig_ask("POST", "/hp/v2/list", "", "{}"), 200, "\"why\":\"exec\"");
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_expect(rig_ask("POST", "/hp/v2/list", "", "{}"), 200, "\"dropped\":[]");
}

static int setup_timed(void **state)
{
	rig_prepare();
	rig.opt.guard_ns = HP_MS;
	rig_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(looks_for_every_status, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(puts_right, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(gives_in_to_a_stubborn_probe, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(leaves_what_it_cannot_mend, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(gives_in_where_nothing_can_be_put_right, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(looks_less_often_where_that_comes_to_no_end, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(who_was_passed_over_is_first, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(who_takes_long_is_looked_at_as_rarely, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(looks_by_itself, setup_timed, rig_teardown),
		cmocka_unit_test_setup_teardown(tells_of_an_exec, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
