/* SPDX-License-Identifier: MIT */
#include "base/near.h"

#include <sched.h>

void hp_draw_near(pid_t tid, int *cpu)
{
	int here = sched_getcpu();
	cpu_set_t one;

	if (here < 0 || here >= CPU_SETSIZE || here == *cpu)
		return;
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	*cpu = here;
	(void)sched_setaffinity(tid, sizeof(one), &one); /* refused: as it was */
}
