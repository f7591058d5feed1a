/* SPDX-License-Identifier: MIT */
/*
 * target_truth.h – threads whose truth is known: a child says in shared memory what it is doing, and
 * what a look (target/look.h) sees is held against that.
 */
#ifndef HP_TESTS_TARGET_TRUTH_H
#define HP_TESTS_TARGET_TRUTH_H

#include <stdint.h>
#include <sys/types.h>

#include "target/look.h"

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

#define TRUTH_THREADS 3

struct truth_thread {
	_Atomic int tid;
	_Atomic uint64_t inside;  /* odd: within the body of watched_fn() */
	_Atomic uint64_t outside; /* odd: about to call, in, or just back from it */
};

struct truth {
	_Atomic uint32_t ready, never;
	_Atomic uint64_t cfa;
	_Atomic int tid;
	struct truth_thread thread[TRUTH_THREADS];
};

/* Shared with the child, from truth_open() to truth_close(). */
extern struct truth *truth;
/* With which to look; NULL: every thread is stopped for it. */
extern const struct hp_look_progs *truth_progs;

/* What is looked for: calls @then, @depth calls deep. */
int watched_fn(int depth, void (*then)(void));
/* The same with a wait for ever, and a frame of another function, whose address is told. */
int watched_first(int depth);
/* Waits with pointers to watched_fn() on its stack, and is not in it. */
int bystander(void);
/* In the child: says that it is ready, and waits for ever. */
void truth_wait(void);

struct truth_rig {
	pid_t pid;
	struct hp_target *t;
	struct hp_looker *l;
	struct hp_part part[2];
	struct hp_scene scene;
};

/* Runs @child in a child until that is ready. */
void truth_open(struct truth_rig *r, void (*child)(void));
/* Ends it. */
void truth_close(struct truth_rig *r);
/* A look at the thread that said that it was ready. */
enum hp_verdict truth_look(struct truth_rig *r, struct hp_seen *seen);

/* The tests; with and without BPF programs: watch_look.c, target_look.c. */
int truth_run(const struct hp_look_progs *progs);
void look_never_lies(void **state);

#endif
