/* SPDX-License-Identifier: MIT */
/* So many operations run at once, for one user and for all; the others wait, and root's for none of them. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/turns.h"
#include "rig/daemon_rig.h"

#define USER  12345
#define MANY  (HP_TURNS_USER + 5)

static int held[HP_TURNS_ALL + MANY];

static int set_up(void **state)
{
	static char policy[128];
	FILE *f;

	rig_prepare();
	assert_int_equal(chmod(rig.dir, 0755), 0);
	snprintf(policy, sizeof(policy), "%s/policy", rig.dir);
	f = fopen(policy, "we");
	assert_non_null(f);
	fprintf(f, "allow root\nallow user %d to see\nallow user %d to see\n", USER, USER + 1);
	fclose(f);
	rig.opt.policy = policy;
	rig_start();
	return 0;
}

static int connect_as(uid_t uid)
{
	int fd;

	assert_int_equal(setresuid((uid_t)-1, uid, (uid_t)-1), 0);
	fd = rig_connect();
	assert_int_equal(setresuid((uid_t)-1, 0, (uid_t)-1), 0);
	return fd;
}

/* A list of all, which is held: *at. */
static void ask(int *at, uid_t uid)
{
	*at = connect_as(uid);
	rig_request(*at, "GET", "/hp/v2/patches", "Connection: close\r\n", "");
}

static void answered(int *at)
{
	rig_expect(rig_read(*at, NULL), 200, "\"patches\":[]");
	hp_close(at);
}

static void wait_listing(int n)
{
	for (int i = 0; i < PATIENCE_MS && stub->listing != n; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(stub->listing, n);
}

static void a_user_has_his_share(void **state)
{
	char one[64];

	stub->hold = true;
	for (int i = 0; i < MANY; i++)
		ask(&held[i], USER);
	rig_wait_status("\"waiting\":5");
	wait_listing(HP_TURNS_USER);
	/* Others do not wait for him, he does, for one process too. */
	ask(&held[MANY], USER + 1);
	wait_listing(HP_TURNS_USER + 1);
	snprintf(one, sizeof(one), "/hp/v2/patches?pid=%d", rig.target);
	rig_expect(rig_ask("GET", one, "", ""), 200, "\"patches\"");
	held[MANY + 1] = connect_as(USER);
	rig_request(held[MANY + 1], "GET", one, "Connection: close\r\n", "");
	rig_wait_status("\"waiting\":6");
	/* Who leaves does not wait any more, and is not begun. */
	hp_close(&held[MANY - 1]);
	rig_wait_status("\"waiting\":5");
	stub->lists = 0;
	stub->hold = false;
	for (int i = 0; i < MANY - 1; i++)
		answered(&held[i]);
	answered(&held[MANY]);
	answered(&held[MANY + 1]);
	rig_wait_status("\"waiting\":0");
	assert_int_equal(stub->lists, 5);
	assert_int_equal(stub->most_listing, HP_TURNS_USER + 2);
}

static void unload_several(int *at, uid_t uid)
{
	char body[64];

	snprintf(body, sizeof(body), "{\"id\":\"aaaa\",\"pids\":[%d]}", rig.target);
	*at = connect_as(uid);
	rig_request(*at, "POST", "/hp/v2/unload", "Connection: close\r\n", body);
}

/* They go on without their client: nobody may leave any number of them behind. */
static void families_are_counted(void **state)
{
	char waiting[32];
	int fd;

	stub->hold = true;
	for (int i = 0; i < HP_TURNS_USER; i++)
		ask(&held[i], USER);
	wait_listing(HP_TURNS_USER);
	for (int i = 1; i <= HP_TURNS_USER; i++) {
		unload_several(&fd, USER);
		snprintf(waiting, sizeof(waiting), "\"waiting\":%d", i);
		rig_wait_status(waiting);
		hp_close(&fd);
	}
	unload_several(&fd, USER);
	rig_expect(rig_read(fd, NULL), 503, "too many operations on several processes");
	hp_close(&fd);
	unload_several(&fd, USER + 1);
	rig_expect(rig_read(fd, NULL), 200, "\"result\":\"not-loaded\"");
	hp_close(&fd);
	stub->hold = false;
	for (int i = 0; i < HP_TURNS_USER; i++)
		answered(&held[i]);
	rig_wait_status("\"waiting\":0");
}

static int connect_to_served(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char body[64], *at;
	int fd;

	snprintf(body, sizeof(body), "{\"pid\":%d,\"http\":\"127.0.0.1:0\"}", rig.target);
	at = strstr(rig_ask("POST", "/hp/v2/serve", "", body), "127.0.0.1:");
	assert_non_null(at);
	a.sin_port = htons((uint16_t)strtoul(at + strlen("127.0.0.1:"), NULL, 10));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* What is asked for at its listener is for that process, and for none that gets its number meanwhile. */
static void what_was_served_is_meant(void **state)
{
	int fd = connect_to_served();
	siginfo_t dead;

	stub->hold = true;
	for (int i = 0; i < HP_TURNS_ALL; i++)
		ask(&held[i], 0);
	wait_listing(HP_TURNS_ALL);
	rig_request(fd, "POST", "/hp/v1/unload", "Connection: close\r\n",
		    "{\"hp_id\":\"" STUB_ID "\"}");
	rig_wait_status("\"waiting\":1");
	assert_int_equal(kill(rig.target, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)rig.target, &dead, WEXITED | WNOWAIT), 0);
	stub->hold = false;
	rig_expect(rig_read(fd, NULL), 500, "the process that is served here has exited");
	hp_close(&fd);
	for (int i = 0; i < HP_TURNS_ALL; i++)
		answered(&held[i]);
}

static void root_has_a_share_too(void **state)
{
	stub->hold = true;
	for (int i = 0; i < HP_TURNS_ALL + 3; i++)
		ask(&held[i], 0);
	rig_wait_status("\"waiting\":3");
	wait_listing(HP_TURNS_ALL);
	ask(&held[HP_TURNS_ALL + 3], USER);
	wait_listing(HP_TURNS_ALL + 1);
	stub->hold = false;
	for (int i = 0; i < HP_TURNS_ALL + 4; i++)
		answered(&held[i]);
	assert_int_equal(stub->most_listing, HP_TURNS_ALL + 1);
}

static void who_waits_at_the_end_is_told(void **state)
{
	stub->hold = true;
	for (int i = 0; i < MANY; i++)
		ask(&held[i], USER);
	rig_wait_status("\"waiting\":5");
	kill(rig.hpd, SIGTERM);
	for (int i = HP_TURNS_USER; i < MANY; i++) {
		rig_expect(rig_read(held[i], NULL), 503, "hpd is about to end");
		hp_close(&held[i]);
	}
	stub->hold = false;
	for (int i = 0; i < HP_TURNS_USER; i++)
		answered(&held[i]);
	rig_wait_exit();
}

/* A look for each of them would be a process each. */
static void statuses_share_a_look(void **state)
{
	enum { N = 200 };
	char one[64];
	int fd[N];

	stub->patches = 1;
	snprintf(one, sizeof(one), "/hp/v2/patches?pid=%d", rig.target);
	rig_expect(rig_ask("GET", one, "", ""), 200, "\"state\":\"active\"");
	stub->hold = true;
	for (int i = 0; i < N; i++) {
		fd[i] = rig_connect();
		rig_request(fd[i], "GET", "/hp/v2/status", "Connection: close\r\n", "");
	}
	stub->hold = false;
	for (int i = 0; i < N; i++) {
		rig_expect(rig_read(fd[i], NULL), 200, "\"targets\"");
		close(fd[i]);
	}
	assert_in_range(stub->guards, 1, N / 4);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_user_has_his_share),
		T(families_are_counted),
		T(what_was_served_is_meant),
		T(root_has_a_share_too),
		T(who_waits_at_the_end_is_told),
		T(statuses_share_a_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
