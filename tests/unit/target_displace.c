/* SPDX-License-Identifier: MIT */
/* Going to a CPU beside real-time threads.  Each leaves it by itself after two seconds. */
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "target/displace.h"
#include "../services/tied.h"

#define SPIN_NS (2 * HP_S)
#define BUSY	0 /* the CPU on which they spin: the first of ours; we are on the second */
#define FREE	1

struct spinner {
	_Atomic uint64_t spins;
	_Atomic uint32_t ended; /* by itself */
	pid_t pid;
};

static int cpus[2];

static int on_cpu(pid_t pid, int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(pid, sizeof(one), &one);
}

static int two_cpus(void **state)
{
	cpu_set_t ours;
	int n = 0;

	if (sched_getaffinity(0, sizeof(ours), &ours))
		return -1;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &ours))
			cpus[n++] = i;
	return n == 2 ? on_cpu(0, cpus[FREE]) : 0;
}

static void need_two_cpus(void)
{
	if (cpus[FREE] == cpus[BUSY])
		skip();
}

static _Noreturn void spin(struct spinner *s)
{
	uint64_t end = hp_now_ns() + SPIN_NS;

	while (hp_now_ns() < end)
		s->spins++;
	s->ended = 1;
	_exit(0);
}

static struct spinner *spinner_start(int policy, int priority)
{
	const struct sched_param param = {.sched_priority = priority};
	struct spinner *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				 -1, 0);
	pid_t pid;

	assert_true(s != MAP_FAILED);
	pid = tied_fork();
	if (pid == 0) {
		if (on_cpu(0, cpus[BUSY]) || sched_setscheduler(0, policy, &param))
			_exit(1);
		spin(s);
	}
	s->pid = pid;
	for (int i = 0; i < 1000 && !s->spins; i++)
		hp_pause_ns(HP_MS);
	assert_true(s->spins);
	return s;
}

static void spinner_end(struct spinner *s)
{
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	munmap(s, 4096);
}

static void as_before(void)
{
	cpu_set_t ours;

	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
	assert_int_equal(CPU_COUNT(&ours), 1);
	assert_true(CPU_ISSET(cpus[FREE], &ours));
}

/* It is off its CPU before it leaves that by itself, and stays off. */
static void gives_way(const struct spinner *s, pid_t asked)
{
	struct hp_displaced d;
	uint64_t then, after;
	bool before;
	int cpu;

	assert_true(hp_displace_begin(&d, asked, (unsigned)cpus[BUSY]));
	before = !s->ended;
	then = s->spins;
	for (int i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	after = s->spins;
	cpu = sched_getcpu();
	hp_displace_end(&d);
	assert_true(before);
	assert_int_equal(then, after);
	assert_int_equal(cpu, cpus[BUSY]);
	as_before();
}

static void takes_a_running_thread_off_its_cpu(void **state)
{
	static const struct {
		int policy, priority;
	} all[] = {{SCHED_OTHER, 0}, {SCHED_FIFO, 1}, {SCHED_FIFO, 50}, {SCHED_RR, 50}};

	need_two_cpus();
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct spinner *s = spinner_start(all[i].policy, all[i].priority);

		gives_way(s, s->pid);
		spinner_end(s);
	}
}

/* Who runs there by now need not be who was asked about. */
static void a_neighbour_does_not_keep_us(void **state)
{
	struct spinner *s;

	need_two_cpus();
	s = spinner_start(SCHED_FIFO, 50);
	gives_way(s, getpid());
	spinner_end(s);
}

static void leaves_who_is_as_high_as_we(void **state)
{
	const int top = sched_get_priority_max(SCHED_FIFO);
	struct hp_displaced d;

	need_two_cpus();
	for (int below = 0; below < 2; below++) { /* a helper comes with us, one lower */
		struct spinner *s = spinner_start(SCHED_FIFO, top - below);
		bool done = hp_displace_begin(&d, s->pid, (unsigned)cpus[BUSY]);
		bool before = !s->ended;

		spinner_end(s);
		assert_false(done);
		assert_true(before);
		as_before();
	}
}

/* sched_setattr(2) has no function in glibc 2.36. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static void leaves_a_thread_with_a_deadline(void **state)
{
	const struct attr attr = {.size = sizeof(attr),
				  .policy = SCHED_DEADLINE,
				  .runtime = 1 * HP_MS,
				  .deadline = 100 * HP_MS,
				  .period = 100 * HP_MS};
	struct hp_displaced d;
	bool done, admitted;
	cpu_set_t all;
	pid_t pid;

	need_two_cpus();
	pid = tied_fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	/* A deadline is for threads that may run everywhere. */
	memset(&all, 0xff, sizeof(all));
	(void)sched_setaffinity(pid, sizeof(all), &all);
	admitted = syscall(SYS_sched_setattr, pid, &attr, 0) == 0;
	done = hp_displace_begin(&d, pid, (unsigned)cpus[BUSY]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (done)
		hp_displace_end(&d);
	if (!admitted)
		skip();
	assert_false(done);
	as_before();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_running_thread_off_its_cpu),
		cmocka_unit_test(a_neighbour_does_not_keep_us),
		cmocka_unit_test(leaves_who_is_as_high_as_we),
		cmocka_unit_test(leaves_a_thread_with_a_deadline),
	};

	return cmocka_run_group_tests(tests, two_cpus, NULL);
}
