/* SPDX-License-Identifier: MIT */
/* A new step() that waits where the old one did, goes through the old code now and then, and takes
 * some time: a profile has to find it. */
#include <hp/patch.h>

void wait_released(void);
int new_step(int x);

HP_ORIG(int, step, (int x));

__attribute__((noinline)) static void new_wait(int x)
{
	wait_released();
	__asm__ volatile("" : : "r"(x)); /* no tail call */
}

__attribute__((noinline)) static int new_work(int x)
{
	for (int i = 0; i < 50; i++)
		__asm__ volatile("" : "+r"(x));
	return x + 1001;
}

HP_NEW int new_step(int x)
{
	if (x < 0)
		new_wait(x);
	return x % 16 == 7 ? step_orig(x) : new_work(x);
}

HP_REPLACE(new_step, "step");
