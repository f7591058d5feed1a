/* SPDX-License-Identifier: MIT */
#include "target/displace.h"

#include "base/log.h"

/* The highest that there is.  Where a thread above us runs we would have to wait for its end, and
 * could not even be killed meanwhile.  It need not be the one that is looked at. */
static int our_priority(void)
{
	return sched_get_priority_max(SCHED_FIFO);
}

static int helpers_priority(void)
{
	return our_priority() - 1;
}

/* Would it make room, for a helper as well? */
static bool yields(pid_t tid)
{
	struct sched_param its = {0};
	int policy = sched_getscheduler(tid);

	if (policy < 0 || sched_getparam(tid, &its))
		return false;
	policy &= ~SCHED_RESET_ON_FORK;
	if (policy == SCHED_FIFO || policy == SCHED_RR)
		return its.sched_priority < helpers_priority();
	return policy != SCHED_DEADLINE;
}

bool hp_displace_begin(struct hp_displaced *d, pid_t tid, unsigned cpu)
{
	const struct sched_param ours = {.sched_priority = our_priority()};
	cpu_set_t one;

	if (!yields(tid))
		return false;
	*d = (struct hp_displaced){.cpu = cpu, .home = sched_getcpu()};
	d->policy = sched_getscheduler(0);
	if (d->policy < 0 || sched_getparam(0, &d->param) ||
	    sched_getaffinity(0, sizeof(d->cpus), &d->cpus) || cpu >= CPU_SETSIZE)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	/* It returns when we run there, and so the other one does not. */
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &ours))
		return false;
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		return true;
	hp_displace_end(d);
	return false;
}

void hp_displace_bring(struct hp_displaced *d, pid_t helper)
{
	const struct sched_param its = {.sched_priority = helpers_priority()};
	cpu_set_t one;

	if (!helper || helper == d->helper)
		return;
	CPU_ZERO(&one);
	CPU_SET(d->cpu, &one);
	d->helper = helper;
	if (sched_setscheduler(helper, SCHED_FIFO | SCHED_RESET_ON_FORK, &its) ||
	    sched_setaffinity(helper, sizeof(one), &one))
		hp_debug("displace: a helper stays where it is");
}

/* It may have ended meanwhile. */
static void send_back(const struct hp_displaced *d)
{
	const struct sched_param none = {0};

	(void)sched_setscheduler(d->helper, SCHED_OTHER, &none);
	(void)sched_setaffinity(d->helper, sizeof(d->cpus), &d->cpus);
}

/* By itself the scheduler leaves us beside the thread that was displaced until the next time that it
 * spreads the load, with our own CPU idle: for some milliseconds both have half a CPU. */
static void go_home(const struct hp_displaced *d)
{
	cpu_set_t home;

	if (d->home < 0 || d->home >= CPU_SETSIZE || d->home == (int)d->cpu)
		return;
	CPU_ZERO(&home);
	CPU_SET(d->home, &home);
	if (sched_setaffinity(0, sizeof(home), &home))
		hp_debug("displace: CPU %d cannot be had again", d->home);
}

void hp_displace_end(const struct hp_displaced *d)
{
	if (d->helper)
		send_back(d);
	go_home(d); /* before our priority is like everybody's */
	/* Both were allowed a moment ago; a cpuset that changed since keeps us where it wants us. */
	if (sched_setaffinity(0, sizeof(d->cpus), &d->cpus) ||
	    sched_setscheduler(0, d->policy, &d->param))
		hp_debug("displace: the old place on the CPUs cannot be had again");
}
