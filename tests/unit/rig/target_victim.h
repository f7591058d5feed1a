/* SPDX-License-Identifier: MIT */
/*
 * target_victim.h – a child process that the tests of target/ touch, and that judges itself: a
 * thread sleeps in one kind of system call, with a pattern in every register, and reports when the
 * call came back before somebody asked for it, with another result, or with another register.
 */
#ifndef HP_TESTS_TARGET_VICTIM_H
#define HP_TESTS_TARGET_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum victim_kind {
	VICTIM_FUTEX,
	VICTIM_EPOLL,
	VICTIM_EPOLL_PWAIT,
	VICTIM_SLEEP,
	VICTIM_SIGTIMEDWAIT,
	VICTIM_SEMOP,
	VICTIM_POLL,
	VICTIM_PPOLL,
	VICTIM_SELECT,
	VICTIM_ACCEPT,
	VICTIM_READ,
	VICTIM_SPIN,
	VICTIM_KINDS,
};
extern const char *const victim_names[VICTIM_KINDS]; /* the system calls */

/* Shared by test and child; zeroed. */
struct victim {
	_Atomic uint32_t futex;
	_Atomic uint32_t asked;	 /* the test asked the calls to come back */
	_Atomic uint32_t ready;	 /* threads about to make their call */
	_Atomic uint32_t back;	 /* calls that came back as they should */
	_Atomic uint32_t faults; /* what must not be */
	_Atomic uint64_t spins;
	_Atomic int64_t last_result;
	_Atomic uint32_t last_kind;
	_Atomic int sleeper; /* the thread in clock_nanosleep(2), which a signal ends */
	int event[2]; /* a pipe */
	int sem;
	int listener;
	pid_t pid;
	unsigned n;
};

/* One thread for each of @kinds, the first the main one, asleep in its call when this returns. */
struct victim *victim_start(const unsigned *kinds, unsigned n);
/* 'S' and 'R' in /proc/PID/task/TID/stat; false when one is neither asleep nor a spinner. */
bool victim_asleep(const struct victim *v, unsigned spinners);
/* Every call comes back, as it should. */
void victim_finish(struct victim *v, const unsigned *kinds);
/* It as hp sees it; to be freed. */
struct hp_target *victim_target(const struct victim *v);
/* Ends and reaps it. */
void victim_free(struct victim *v);
/* Number of entries of /proc/PID/@what. */
int victim_count(const struct victim *v, const char *what);
char *victim_maps(const struct victim *v);
/* Children of the victim, dead or alive. */
int victim_children(const struct victim *v);

#endif
