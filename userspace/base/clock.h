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

/* CLOCK_PROCESS_CPUTIME_ID: what this process cost, where others keep it from running too. */
static inline uint64_t hp_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * HP_S + (uint64_t)t.tv_nsec;
}

/* Lets other threads go on for @ns: a pause between two looks at something that
 * gives no event. */
static inline void hp_pause_ns(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / HP_S), (long)(ns % HP_S)};

	nanosleep(&t, NULL); /* a signal may cut it short: the caller looks again anyway */
}

/* Long work rests after each stretch, since whoever else runs on this CPU would wait until the next
 * tick of the clock (4 ms, where there are 250 a second).  One that did something else in between, or
 * waited, begins anew. */
struct hp_pace {
	uint64_t since_ns, last_ns; /* 0: not begun */
};
#define HP_STRETCH_NS (500 * HP_US)
#define HP_REST_NS    (250 * HP_US)

/* To be called between any two pieces of it. */
static inline void hp_pace(struct hp_pace *p)
{
	uint64_t now = hp_now_ns();

	if (now - p->last_ns >= HP_REST_NS) {
		p->since_ns = now;
	} else if (now - p->since_ns >= HP_STRETCH_NS) {
		hp_pause_ns(HP_REST_NS);
		now = p->since_ns = hp_now_ns();
	}
	p->last_ns = now;
}

#endif
