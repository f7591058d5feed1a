/* SPDX-License-Identifier: MIT */
/* shared.h – what bench and its target share: one page of memory. */
#ifndef BENCH_SHARED_H
#define BENCH_SHARED_H

#include <stdint.h>

enum bench_spin {
	SPIN_REST,  /* sleeps */
	SPIN_CLOCK, /* reads the clock all the time: an uninvolved thread */
	SPIN_CALL,  /* the same, calling fn_0() each time */
	SPIN_RATE,  /* calls fn_0() as often as @rate says */
	SPIN_TIME,  /* times @n calls, then rests */
};

struct bench_shared {
	int ready;            /* threads that have started */
	int spin;             /* enum bench_spin */
	unsigned window;      /* counted up to begin a new window … */
	unsigned window_seen; /* … which has begun when this is the same */
	uint64_t longest_ns;  /* between two readings of the clock, in this window */
	uint64_t calls;       /* of the spinning thread */
	uint64_t rate;        /* calls a second */
	uint64_t n;
	uint64_t took_ns; /* for @n calls; 0: not done yet */
	int32_t result;   /* of the last call */
};

#endif
