/* SPDX-License-Identifier: MIT */
/* shared.h – what bench and its target share: one page of memory. */
#ifndef BENCH_SHARED_H
#define BENCH_SHARED_H

#include <stdint.h>

#define BENCH_FNS         100
#define BENCH_CALLERS_MAX 4

enum bench_do {
	DO_REST,  /* sleep */
	DO_CLOCK, /* read the clock all the time: an uninvolved thread */
	DO_CALL,  /* the same, calling fn_0() each time */
	DO_RATE,  /* call fn_0() as often as @rate says */
	DO_TIME,  /* the first caller times @n calls, then rests */
};

/* A cache line each. */
struct bench_caller {
	uint64_t
		longest_ns; /* in this window: between two readings of the clock; DO_RATE: a call */
	uint64_t calls;     /* ever */
	uint64_t due_ns;    /* DO_RATE: the next call */
	unsigned window_seen; /* the window that this caller is in */
	unsigned unused[9];
};

struct bench_shared {
	int ready;        /* threads that have started */
	int what;         /* enum bench_do */
	unsigned window;  /* counted up to begin a new window */
	int result;       /* of the last call */
	uint64_t rate;    /* DO_RATE: calls a second, of each caller */
	uint64_t stay_us; /* DO_RATE: how long a call sleeps */
	uint64_t n;       /* DO_TIME */
	uint64_t took_ns; /* for @n calls; 0: not done yet */
	uint64_t unused[2];
	struct bench_caller caller[BENCH_CALLERS_MAX];
};

#endif
