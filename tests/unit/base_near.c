/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/near.h"

static cpu_set_t all;

static void go_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void it_comes_along(void **state)
{
	pid_t child = fork();
	int put = -1;
	cpu_set_t its;

	if (child == 0)
		for (;;)
			pause();
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		go_to(cpu);
		hp_draw_near(child, &put);
		assert_int_equal(put, cpu);
		assert_int_equal(sched_getaffinity(child, sizeof(its), &its), 0);
		assert_int_equal(CPU_COUNT(&its), 1);
		assert_true(CPU_ISSET(cpu, &its));
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* Who is there already is not asked for again. */
static void it_is_put_once(void **state)
{
	pid_t child = fork();
	int cpu = sched_getcpu(), put = cpu;
	cpu_set_t its;

	if (child == 0)
		for (;;)
			pause();
	go_to(cpu);
	hp_draw_near(child, &put);
	assert_int_equal(sched_getaffinity(child, sizeof(its), &its), 0);
	assert_true(CPU_EQUAL(&its, &all));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_along),
		cmocka_unit_test(it_is_put_once),
	};

	if (sched_getaffinity(0, sizeof(all), &all))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
