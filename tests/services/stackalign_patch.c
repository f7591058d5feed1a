/* SPDX-License-Identifier: MIT */
/* leaf() with SSE stores to the stack; PLAIN leaves out the realignment of HP_NEW. */
#include <hp/patch.h>

int new_leaf(int x);

__attribute__((noipa)) static void fill(char *p)
{
	p[0] = 1;
}

#ifndef PLAIN
HP_NEW
#endif
int new_leaf(int x)
{
	char room[64] __attribute__((aligned(16))) = {0};

	fill(room);
	return x * 3 + room[0];
}

HP_REPLACE(new_leaf, "leaf");
