/* SPDX-License-Identifier: MIT */
/* Both functions of stress anew; the target's symbols are plain externs. */
#include "stress.h"

#include <hp/patch.h>

#ifndef VERSION
#define VERSION 1
#endif

int new_f1(int level);
int new_f2(int level);

HP_NEW int new_f1(int level)
{
	int r = STRESS_NEW_F1;

	overlap_enter(&truth.new_active, &truth.old_active, &truth.overlap);
	truth.version = VERSION;
	stress_work(level);
	if (level)
		r += f2(level - 1);
	__atomic_add_fetch(&truth.new_calls, 1, __ATOMIC_RELAXED);
	overlap_leave(&truth.new_active, &truth.old_active, &truth.overlap);
	return r;
}

HP_NEW int new_f2(int level)
{
	int r = STRESS_NEW_F2;

	overlap_enter(&truth.new_active, &truth.old_active, &truth.overlap);
	stress_work(level);
	if (level)
		r += f1(level - 1);
	__atomic_add_fetch(&truth.new_calls, 1, __ATOMIC_RELAXED);
	overlap_leave(&truth.new_active, &truth.old_active, &truth.overlap);
	return r;
}

HP_REPLACE(new_f1, "f1");
HP_REPLACE(new_f2, "f2");

#ifdef SUPERSEDES
HP_META("supersedes", SUPERSEDES);
#endif
