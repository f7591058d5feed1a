/* SPDX-License-Identifier: MIT */
/* init_array, fini_array and an IFUNC.  The constructor must have run before any new code does. */
#include <hp/patch.h>

#include <stdio.h>

extern int counter;

static int built;

__attribute__((constructor)) static void build(void)
{
	built = 1000;
	puts("patch: init_array");
}

__attribute__((destructor)) static void take_down(void)
{
	puts("patch: fini_array");
}

int chosen(int x) __attribute__((visibility("default")));
int new_answer(int x);

static int first_choice(int x)
{
	return x + built;
}

static int (*choose(void))(int)
{
	return first_choice;
}

int chosen(int x) __attribute__((ifunc("choose")));

HP_NEW int new_answer(int x)
{
	__atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
	return chosen(x);
}

HP_REPLACE(new_answer, "answer");
