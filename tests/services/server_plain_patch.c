/* SPDX-License-Identifier: MIT */
/* The same without any record: for maps that come with the request. */
int new_answer(int x);
extern int counter;

int *Counter;
int a_variable = 1;

int new_answer(int x)
{
	if (Counter)
		__atomic_add_fetch(Counter, 1, __ATOMIC_RELAXED);
	return x + 1000;
}
