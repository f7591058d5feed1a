/* SPDX-License-Identifier: MIT */
/* scale() again, with a call that nobody can see through. */
#include <hp/patch.h>

#include <unistd.h>

int new_scale(int x);

HP_NEW int new_scale(int x)
{
	int r = x;

	(void)getppid();
	for (int i = 0; i < 3; i++)
		r += x ^ i;
	return r;
}

HP_REPLACE(new_scale, "scale");
