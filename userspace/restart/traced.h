/* SPDX-License-Identifier: MIT */
/*
 * restart/traced.h – being told by ptrace(2) what a new generation calls.
 *
 * That leaves nothing behind: its threads are let go when it is ready.  Until then each stops at
 * every system call, and dies with this process.
 */
#ifndef HP_RESTART_TRACED_H
#define HP_RESTART_TRACED_H

#include "restart/substitute.h"

struct hp_tracee {
	pid_t tid;
	bool parts; /* it is in a call that may have done a part of its work */
	bool asked; /* to stop */
};

struct hp_traced {
	struct hp_substitution *substitution;
	struct hp_tracee *v;
	size_t n, room;
	bool leaving;
};

/* Traces @pid, and whatever it starts.  From its next execve(2) on the calls are seen.  0 or a
 * negative errno. */
int hp_traced_begin(struct hp_traced *t, pid_t pid);

/* waitpid(2) told a stop of @tid, which hp_traced_take() is going to be told of. */
void hp_traced_expect(struct hp_traced *t, pid_t tid);

/* What waitpid(2) says of @tid: a stop, out of which it goes on, or its end. */
void hp_traced_take(struct hp_traced *t, pid_t tid, int status);

/* Who calls the kernel from now on is let go there, who waits in a call is asked to stop and then let
 * go, and does not notice.  A thread in the middle of sending is waited for: it would send less.
 * To be called again, while hp_traced_take() is told of stops, until @t->n is 0. */
void hp_traced_leave(struct hp_traced *t);

void hp_traced_free(struct hp_traced *t);

#endif
