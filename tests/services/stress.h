/* SPDX-License-Identifier: MIT */
/*
 * stress.h – the truth that stress and its patch share: calls of the old and of the new code that
 * overlap.
 *
 * A call returns what it was made of: a byte each for the calls of old f1, old f2, new f1, new f2.
 */
#ifndef STRESS_H
#define STRESS_H

#include "overlap.h"

#define STRESS_OLD_F1 0x1
#define STRESS_OLD_F2 0x100
#define STRESS_NEW_F1 0x10000
#define STRESS_NEW_F2 0x1000000

struct stress_truth {
	long old_active, new_active;
	unsigned long overlap;
	unsigned long new_calls;
	int version; /* of the patch that was called last */
};

extern struct stress_truth truth;

int f1(int level);
int f2(int level);

static inline void stress_work(int n)
{
	for (volatile int i = 0; i < 30 + n; i++)
		;
}

#endif
