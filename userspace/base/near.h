/* SPDX-License-Identifier: MIT */
/*
 * base/near.h – who waits for another process, brings it to its own CPU.
 *
 * While it waits, that CPU is free, and awake, which another one mostly is not: to wake an idle CPU
 * takes longer than what most of hp's processes are asked for.
 */
#ifndef HP_BASE_NEAR_H
#define HP_BASE_NEAR_H

#include <sys/types.h>

/* Has thread @tid run on the caller's CPU alone.  *cpu: where it has been put; -1 at first.  Without
 * the right to, or where its cpuset has no such CPU, it runs where it did, and is slower. */
void hp_draw_near(pid_t tid, int *cpu);

#endif
