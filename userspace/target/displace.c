/* SPDX-License-Identifier: MIT */
#include "target/displace.h"

#include "base/log.h"

bool hp_displace_begin(struct hp_displaced *d, unsigned cpu)
{
	const struct sched_param lowest = {.sched_priority = 1};
	cpu_set_t one;

	d->policy = sched_getscheduler(0);
	if (d->policy < 0 || sched_getparam(0, &d->param) ||
	    sched_getaffinity(0, sizeof(d->cpus), &d->cpus) || cpu >= CPU_SETSIZE)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	/* It returns when we run there, and so the other one does not. */
	if (sched_setscheduler(0, SCHED_FIFO, &lowest))
		return false;
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		return true;
	hp_displace_end(d);
	return false;
}

void hp_displace_end(const struct hp_displaced *d)
{
	/* Both were allowed a moment ago; a cpuset that changed since keeps us where it wants us. */
	if (sched_setaffinity(0, sizeof(d->cpus), &d->cpus) ||
	    sched_setscheduler(0, d->policy, &d->param))
		hp_debug("displace: the old place on the CPUs cannot be had again");
}
