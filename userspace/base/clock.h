/* SPDX-License-Identifier: MIT */
/* base/clock.h – time in nanoseconds. */
#ifndef HP_BASE_CLOCK_H
#define HP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define HP_US 1000ull
#define HP_MS 1000000ull
#define HP_S  1000000000ull

/* CLOCK_MONOTONIC: for durations and deadlines, and what bpf_ktime_get_ns() gives. */
static inline uint64_t hp_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * HP_S + (uint64_t)t.tv_nsec;
}

/* CLOCK_REALTIME: only for what people read ("loaded since"). */
static inline uint64_t hp_wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * HP_S + (uint64_t)t.tv_nsec;
}

/* Lets other threads go on for @ns: a pause between two looks at something that
 * gives no event. */
static inline void hp_pause_ns(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / HP_S), (long)(ns % HP_S)};

	nanosleep(&t, NULL); /* a signal may cut it short: the caller looks again anyway */
}

#endif
