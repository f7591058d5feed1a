/* SPDX-License-Identifier: MIT */
/* Work under way, and the hooks before its end. */
#include "upgrade_rig.h"

#include <pthread.h>
#include <semaphore.h>

static char hooks_run[16];

static void hook(void *arg)
{
	strcat(hooks_run, arg);
}

static void calls_hooks_last_first_and_once(void **state)
{
	struct hp_upgrade *u = opened(NULL);

	assert_int_equal(hp_upgrade_on_drain(u, hook, "a", &err), 0);
	assert_int_equal(hp_upgrade_on_drain(u, hook, "b", &err), 0);
	assert_int_equal(hp_upgrade_drain(u, 0, &err), 0);
	assert_int_equal(hp_upgrade_drain(u, -1, &err), 0);
	assert_string_equal(hooks_run, "ba");
	hp_upgrade_free_in(u);
}

static void tells_what_is_left(void **state)
{
	struct hp_upgrade *u = opened(NULL);

	hp_upgrade_enter(u);
	hp_upgrade_enter(u);
	expect_error(hp_upgrade_drain(u, 10, &err), -ETIMEDOUT, "2 still under way after 10 ms");
	hp_upgrade_leave(u);
	hp_upgrade_leave(u);
	assert_int_equal(hp_upgrade_drain(u, 0, &err), 0);
	hp_upgrade_free_in(u);
}

/* Goes on when the hook says so: then, at the latest, somebody waits for it. */
static sem_t go;

static void *work(void *arg)
{
	sem_wait(&go);
	hp_upgrade_leave(arg);
	return NULL;
}

static void let_go(void *arg)
{
	sem_post(&go);
}

static void waits_for_work(void **state)
{
	struct hp_upgrade *u = opened(NULL);
	pthread_t t;

	assert_int_equal(sem_init(&go, 0, 0), 0);
	hp_upgrade_enter(u);
	assert_int_equal(pthread_create(&t, NULL, work, u), 0);
	assert_int_equal(hp_upgrade_on_drain(u, let_go, NULL, &err), 0);
	assert_int_equal(hp_upgrade_drain(u, -1, &err), 0);
	pthread_join(t, NULL);
	hp_upgrade_free_in(u);
	sem_destroy(&go);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_hooks_last_first_and_once),
		cmocka_unit_test(tells_what_is_left),
		cmocka_unit_test(waits_for_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
