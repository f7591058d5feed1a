/* SPDX-License-Identifier: MIT */
/*
 * stack.h – the truth that stack and its patches share.  Three functions call each other; three
 * patches cover them in part: A on f and g, B on g and h, C on all.  Each new function calls the
 * code below it, so that a call returns a count for every layer that it went through:
 *
 *	six bits each: o.f o.g o.h A.f A.g B.g B.h C.f C.g C.h
 *
 * Calls with a patch and calls without it, of the functions that it replaces, see each other when
 * they overlap.
 */
#ifndef STACK_H
#define STACK_H

#include "overlap.h"
#include "svc.h"

enum { LAYER_A, LAYER_B, LAYER_C, LAYERS };
#define STACK_LEVELS 9

enum { FN_F, FN_G, FN_H, FNS };

#define FIELD_BITS 6
#define FIELD(n)   (1ul << (FIELD_BITS * (n)))

/* Which field counts the calls of a layer's function; -1: the layer has none. */
static const signed char stack_field[LAYERS + 1][FNS] = {
	[LAYER_A] = {3, 4, -1}, [LAYER_B] = {-1, 5, 6}, [LAYER_C] = {7, 8, 9}, [LAYERS] = {0, 1, 2}};

struct stack_truth {
	long with[LAYERS], without[LAYERS];
	unsigned long overlap;
};

extern struct stack_truth truth;
extern __thread unsigned under; /* the layers of the call that this thread is in */

unsigned long f(int level);
unsigned long g(int level);
unsigned long h(int level);

void note(char layer); /* for "ask" */

/* Now and then a call stays for so long in a layer that a look finds it there. */
static inline void stack_work(int level)
{
	if (level == STACK_LEVELS - 1)
		svc_nap_us(200);
	for (volatile int i = 0; i < 20 + level; i++)
		;
}

#endif
