/* SPDX-License-Identifier: MIT */
/* One request for many processes: how many at once, what fails in some, the exit status of all. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "rig/daemon_rig.h"
#include "../services/tied.h"

#define MEMBERS 6

static pid_t member[MEMBERS];

static const char *patch(const char *name)
{
	static char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	return path;
}

static int start_members(void **state)
{
	rig_setup(state);
	for (int i = 0; i < MEMBERS; i++) {
		member[i] = tied_fork();
		if (member[i] == 0) {
			for (;;)
				pause();
		}
	}
	return 0;
}

static int stop_members(void **state)
{
	for (int i = 0; i < MEMBERS; i++) {
		kill(member[i], SIGKILL);
		waitpid(member[i], NULL, 0);
	}
	return rig_teardown(state);
}

static const char *body(int n, const char *more)
{
	static char text[1024];
	size_t at = (size_t)snprintf(text, sizeof(text), "{\"pids\":[");

	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", i ? "," : "", member[i]);
	snprintf(text + at, sizeof(text) - at, "],%s}", more);
	return text;
}

static char *load(const char *name, int n, const char *more)
{
	char rest[256];

	snprintf(rest, sizeof(rest), "\"file\":\"%s\"%s", patch(name), more);
	return rig_ask("POST", "/hp/v2/load", "", body(n, rest));
}

static void runs_four_at_once(void **state)
{
	char *answer = load("four.so", MEMBERS, "");

	rig_expect(answer, 200, "\"status\":0");
	assert_non_null(strstr(answer, "\"done\":6"));
	assert_non_null(strstr(answer, "\"hp_id\":\"" STUB_ID "\""));
	assert_int_equal(stub->loads, MEMBERS);
	assert_true(stub->most_running >= 4);
	/* Each is told what the file held at first. */
	assert_non_null(stub->last_load.id);
}

static void each_once(void **state)
{
	pid_t other = member[1];

	member[1] = member[0];
	rig_expect(load("ok.so", 2, ""), 200, "\"done\":1");
	assert_int_equal(stub->loads, 1);
	member[1] = other;
}

static void says_where_it_failed(void **state)
{
	char *answer;

	stub->refuse = member[1];
	answer = load("ok.so", 3, "");
	rig_expect(answer, 200, "\"status\":6");
	assert_non_null(strstr(answer, "\"done\":2,\"failed\":1"));
	assert_non_null(strstr(answer, "\"result\":\"failed\",\"error\":{\"code\":\"no-symbol\""));
	assert_int_equal(stub->unloads, 0);
}

static void failed_everywhere_is_no_mixture(void **state)
{
	rig_expect(load("refuse.so", 3, ""), 200, "\"status\":3");
	rig_expect(load("busy.so", 3, ""), 200, "\"status\":4");
}

static void takes_all_back(void **state)
{
	char *answer;

	/* The last is only begun when one of the first four is done. */
	stub->refuse = member[MEMBERS - 1];
	answer = load("ok.so", MEMBERS, ",\"all_or_nothing\":true");
	rig_expect(answer, 200, "\"status\":3");
	assert_non_null(strstr(answer, "\"done\":0,\"failed\":1"));
	assert_non_null(strstr(answer, "\"result\":\"unloaded-again\""));
	assert_int_equal(stub->unloads, stub->loads - 1);
	assert_int_equal(stub->patches, 0);
}

static void streams_its_progress(void **state)
{
	char rest[256], *answer;

	snprintf(rest, sizeof(rest), "\"file\":\"%s\"", patch("ok.so"));
	answer = rig_ask("POST", "/hp/v2/load", "Accept: application/x-ndjson\r\n",
			 body(MEMBERS, rest));
	rig_expect(answer, 200, "\"event\":\"target\"");
	assert_non_null(strstr(answer, "\"done\":6,\"of\":6"));
	assert_non_null(strstr(answer, "\"result\":{"));
}

static void nobody_is_an_error(void **state)
{
	rig_expect(rig_ask("POST", "/hp/v2/unload", "", "{\"exe\":\"/bin/x\",\"id\":\"a\"}"), 500,
		   "no process runs /bin/x");
}

/* hpd waits for what runs, begins nothing, and says so. */
static void ends_with_hpd(void **state)
{
	char rest[256], path[256];
	int fd = rig_connect(), go;

	snprintf(path, sizeof(path), "%s/wait.so.go", rig.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(rest, sizeof(rest), "\"file\":\"%s\"", patch("wait.so"));
	rig_request(fd, "POST", "/hp/v2/load", "Connection: close\r\n", body(MEMBERS, rest));
	go = open(path, O_WRONLY | O_CLOEXEC);
	while (__atomic_load_n(&stub->running, __ATOMIC_SEQ_CST) < 4)
		hp_pause_ns(HP_MS);
	kill(rig.hpd, SIGTERM);
	while (access(rig.socket, F_OK) == 0)
		hp_pause_ns(HP_MS);
	assert_int_equal(hp_write_all(go, "gggg", 4), 0);
	rig_expect(rig_read(fd, NULL), 200, "\"result\":\"not-begun\"");
	close(fd);
	close(go);
	rig_wait_exit();
	assert_int_equal(stub->loads, 4);
}

/* Of many targets only so many keep a view; one that has given it up is worked on as ever. */
static void few_keep_a_view(void **state)
{
	char text[128];
	pid_t crowd[100];

	stub->bpf = true;
	kill(rig.hpd, SIGTERM);
	rig_wait_exit();
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_start();
	for (int i = 0; i < 100; i++) {
		crowd[i] = tied_fork();
		if (crowd[i] == 0) {
			for (;;)
				pause();
		}
		snprintf(text, sizeof(text), "{\"pid\":%d,\"file\":\"%s\"}", crowd[i],
			 patch("ok.so"));
		rig_expect(rig_ask("POST", "/hp/v2/load", "", text), 200, STUB_ID);
	}
	assert_true(stub->views_open <= 64);
	snprintf(text, sizeof(text), "{\"pid\":%d,\"id\":\"a\"}", crowd[0]);
	rig_expect(rig_ask("POST", "/hp/v2/unload", "", text), 200, STUB_ID);
	for (int i = 0; i < 100; i++) {
		kill(crowd[i], SIGKILL);
		waitpid(crowd[i], NULL, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_four_at_once, start_members, stop_members),
		cmocka_unit_test_setup_teardown(each_once, start_members, stop_members),
		cmocka_unit_test_setup_teardown(says_where_it_failed, start_members, stop_members),
		cmocka_unit_test_setup_teardown(failed_everywhere_is_no_mixture, start_members,
						stop_members),
		cmocka_unit_test_setup_teardown(takes_all_back, start_members, stop_members),
		cmocka_unit_test_setup_teardown(streams_its_progress, start_members, stop_members),
		cmocka_unit_test_setup_teardown(nobody_is_an_error, start_members, stop_members),
		cmocka_unit_test_setup_teardown(ends_with_hpd, start_members, stop_members),
		cmocka_unit_test_setup_teardown(few_keep_a_view, start_members, stop_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
