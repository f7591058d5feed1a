/* SPDX-License-Identifier: MIT */
/*
 * hostile.h – states that make a process hard to patch.
 *
 * Each is entered in its own moment: before the service's threads are started (limits that bind
 * threads would forbid them later), in each of them, when all of them run, or when it is said to be ready.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>

struct hostile {
	const char *name;
	void (*early)(void);
	void (*thread)(void); /* in each thread that calls answer() */
	void (*late)(void);
	void (*ready)(void); /* when it has said so */
	int threads;	 /* that call answer(); 0: three */
	bool spin;	 /* they never rest */
	bool guarded;	 /* their stacks are one mapping, guard pages between (guards.h) */
	bool alone;	 /* the main thread is the only one */
	bool fork;	 /* the service is a child: "serves <pid>" says which */
	bool busy;	 /* and nobody waits beside them */
	bool stopped;	 /* stopping it interrupts epoll_wait(2), as it should: signal(7) */
	bool signals;	 /* a signal storm cuts sleeps short, as it should */
	void (*serve)(void); /* instead of waiting for commands; does not return */
	bool (*right)(void); /* for the verdict */
};

extern const struct hostile hostile_table[]; /* ends with a NULL name */

int answer(int x);
/* A call that lasts until hostile_leave; @wait is what it waits by. */
int linger(int x, void (*wait)(void));
extern int hostile_leave;

void hostile_check(int x); /* one call of answer(), judged */
extern unsigned long hostile_calls, hostile_wrong;

/* hostile_tasks.c */
void hostile_share(void);
void hostile_share_inside(void);
void hostile_vfork(void);
void hostile_wait_for_vfork(void);
void hostile_end_main_thread(void);
void hostile_serve_busily(void);
void hostile_sequence(void);
bool hostile_sequences_whole(void);
void hostile_suspend_inside(void);
void hostile_run_coroutine(void);
void hostile_block_signal(void);
void hostile_hold_lock(void);

/* hostile_states.c: a program that could not enter its state says so and ends with 77. */
__attribute__((noreturn)) void hostile_cannot(const char *what);

#endif
