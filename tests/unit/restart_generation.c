/* SPDX-License-Identifier: MIT */
/* The states of generations as everybody reads them, and what one that was killed leaves. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/generation.h"
#include "restart/restart.h"
#include "rig/sleeper.h"
#include "service/inventory.h"

static struct hp_err err;

static struct hp_generation between(pid_t old, pid_t new, const char *state, const char *old_state)
{
	return (struct hp_generation){
		.pid = new,
		.pid_start = hp_generation_start_of(new),
		.old = old,
		.old_start = hp_generation_start_of(old),
		.number = 2,
		.comm = "server",
		.state = state,
		.old_state = old_state,
		.since_ns = 1700000000 * HP_S,
	};
}

static int number_of(pid_t pid, unsigned *n)
{
	return hp_generation_of(pid, hp_generation_start_of(pid), n, &err);
}

static void one_at_a_time(void **state)
{
	pid_t old = sleeper_start(), new = sleeper_start(), other = sleeper_start();
	struct hp_generation g = between(old, new, "starting", "serving");
	unsigned n = 0;

	assert_int_equal(number_of(old, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(hp_generation_write(&g, getpid()), 0);
	assert_int_equal(number_of(old, &n), -HP_E_BUSY);
	assert_int_equal(number_of(new, &n), -HP_E_BUSY);
	assert_int_equal(number_of(other, &n), 0);
	g.state = "serving";
	g.old_state = "draining";
	assert_int_equal(hp_generation_write(&g, getpid()), 0);
	assert_int_equal(number_of(old, &n), -HP_E_TARGET);
	assert_int_equal(number_of(new, &n), 0);
	assert_int_equal(n, 2);
	/* A pid that is somebody else's by now. */
	assert_int_equal(hp_generation_of(new, g.pid_start + 1, &n, &err), 0);
	assert_int_equal(n, 1);
	hp_generation_remove();
	assert_int_equal(number_of(old, &n), 0);
	sleeper_end(old);
	sleeper_end(new);
	sleeper_end(other);
}

static json_t *only(pid_t pid)
{
	const struct hp_pids of = {.v = &pid, .n = 1};
	json_t *all = hp_generations_list(&of), *one;

	assert_non_null(all);
	assert_int_equal(json_array_size(all), 1);
	one = json_incref(json_array_get(all, 0));
	json_decref(all);
	return one;
}

static void is(const json_t *doc, const char *name, const char *wanted)
{
	assert_string_equal(json_string_value(json_object_get(doc, name)), wanted);
}

static void as_it_is_told(void **state)
{
	pid_t old = sleeper_start(), new = sleeper_start();
	struct hp_generation g = between(old, new, "serving", "draining");
	json_t *doc;

	memcpy(g.comm, "serv\xff", 6); /* whatever a process calls itself */
	g.open = 3;
	g.deadline_ns = g.since_ns + 90 * HP_S;
	assert_int_equal(hp_generation_write(&g, getpid()), 0);
	doc = only(old);
	is(doc, "comm", "?");
	is(doc, "state", "serving");
	is(doc, "old_state", "draining");
	is(doc, "since", "2023-11-14T22:13:20Z");
	is(doc, "deadline", "2023-11-14T22:14:50Z");
	assert_int_equal(json_integer_value(json_object_get(doc, "open")), 3);
	assert_null(json_object_get(doc, "shields"));
	json_decref(doc);
	json_decref(only(new));
	hp_generation_remove();
	sleeper_end(old);
	sleeper_end(new);
}

/* The file of a supervisor that is killed goes to one of those who ask, and to nobody before. */
static void left_behind(void **state)
{
	struct hp_listener sock = {.fd = -1, .family = AF_UNIX, .file = {.dev = 1, .ino = 99},
				   .shield = 1ull << 40};
	struct hp_listeners l = {.v = &sock, .n = 1};
	pid_t supervisor = sleeper_start(), old = sleeper_start(), new = sleeper_start();
	struct hp_generation g = between(old, new, "serving", "draining");
	const json_t *shield;
	json_t *doc, *all;

	strcpy(((struct sockaddr_un *)&sock.addr)->sun_path, "/run/hp-test-socket");
	g.shielded = &l;
	assert_int_equal(hp_generation_write(&g, supervisor), 0);
	json_decref(only(new));
	sleeper_end(supervisor);
	all = hp_generations_list(&(struct hp_pids){.v = &new, .n = 1});
	assert_int_equal(json_array_size(all), 0);
	json_decref(all);
	doc = hp_generation_take_over();
	assert_non_null(doc);
	assert_int_equal(json_integer_value(json_object_get(doc, "supervisor")), supervisor);
	shield = json_array_get(json_object_get(doc, "shields"), 0);
	is(shield, "path", "/run/hp-test-socket");
	assert_int_equal(json_integer_value(json_object_get(shield, "ino")), 99);
	assert_int_equal(json_integer_value(json_object_get(shield, "mount")), 1ll << 40);
	json_decref(doc);
	assert_null(hp_generation_take_over());
	sleeper_end(old);
	sleeper_end(new);
}

/* /run/hp is everybody's. */
static int of_our_own(void **state)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (mkdir("/run/hp", 0755) && errno != EEXIST))
		return -1;
	return mount("none", "/run/hp", "tmpfs", 0, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(as_it_is_told),
		cmocka_unit_test(left_behind),
	};

	return cmocka_run_group_tests(tests, of_our_own, NULL);
}
