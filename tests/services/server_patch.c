/* SPDX-License-Identifier: MIT */
/* answer() plus PLUS; uses .data, .bss, .rodata with relocations, and the target's variable. */
#include <hp/patch.h>

#ifndef PLUS
#define PLUS 1000
#endif

extern int counter;

static int add_big(int x)
{
	return x + PLUS;
}

static int (*const table[])(int) = {add_big, add_big}; /* .data.rel.ro */
static int in_data = 7;
static long in_bss[2000];

int new_answer(int x);

HP_NEW int new_answer(int x)
{
	in_bss[x & 1023]++;
	__atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
	return in_data == 7 && in_bss[1999] == 0 ? table[x & 1](x) : -1;
}

HP_REPLACE(new_answer, "answer");
