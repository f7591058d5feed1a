/* SPDX-License-Identifier: MIT */
/*
 * target/displace.h – taking a running thread off its CPU without stopping it.  Internal.
 *
 * PTRACE_INTERRUPT is a signal to the thread: if it blocks in a send(2) or recv(2) with
 * MSG_WAITALL before the signal arrives, that call answers a short count, which nobody can take
 * back.  So hp goes to the CPU on which the thread runs, at real-time priority: the scheduler
 * preempts the thread, and it is off the CPU for as long as hp is there (unless another CPU takes
 * it, which its switch count tells).
 */
#ifndef HP_TARGET_DISPLACE_H
#define HP_TARGET_DISPLACE_H

#include <sched.h>
#include <stdbool.h>

struct hp_displaced {
	cpu_set_t cpus;	 /* ours before */
	struct sched_param param;
	int policy;
	unsigned cpu;
	int home; /* where we came from */
	pid_t helper; /* brought along; 0: nobody */
};

/* Takes @tid off @cpu.  False where it cannot be done: no CAP_SYS_NICE, a CPU outside our cpuset, a
 * thread of the highest real-time priorities or with a SCHED_DEADLINE, which would not make room. */
bool hp_displace_begin(struct hp_displaced *d, pid_t tid, unsigned cpu);
/* Back to where we came from: whoever was displaced has its CPU at once. */
void hp_displace_end(const struct hp_displaced *d);

/* Brings a process along that we wait for meanwhile, just below us: while we sleep it runs there, and
 * not the thread.  Without the right to, the look is found to be torn. */
void hp_displace_bring(struct hp_displaced *d, pid_t helper);

#endif
