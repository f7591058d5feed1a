/* SPDX-License-Identifier: MIT */
#include <hp/patch.h>

int new_work(int x);

HP_NEW int new_work(int x)
{
	return x + 1000;
}

HP_REPLACE(new_work, "work");
