/* SPDX-License-Identifier: MIT */
/* functions.h – the functions that functions.sh writes: fn_0 … and new_fn_0 …. */
#ifndef BENCH_FUNCTIONS_H
#define BENCH_FUNCTIONS_H

/* Below 0: the call sleeps for -x microseconds. */
#define BENCH_BODY(i, x, plus)                                                                     \
	{                                                                                          \
		if (__builtin_expect((x) < 0, 0))                                                  \
			bench_stay((unsigned)-(x));                                                \
		return (x)*5 + (i) + (plus);                                                       \
	}

void bench_stay(unsigned us);
int fn_0(int x);

extern int (*const bench_fn[])(int x);

#endif
