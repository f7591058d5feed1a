/* SPDX-License-Identifier: MIT */
/*
 * patch/counting.h – a counting session for the functions of a patch.
 */
#ifndef HP_PATCH_COUNTING_H
#define HP_PATCH_COUNTING_H

#include "patch/census.h"
#include "watch/watch.h"

/* True when every exit of @side's functions is known, so that they can be watched. */
bool hp_counting_possible(const struct hp_live *lv, enum hp_side side);

/* Probes on the watch paths and, with @exits, on every way out of @side's functions.  No slot shows
 * the watch path yet. */
int hp_counting_start(struct hp_session **ret, struct hp_live *lv, enum hp_side side, bool exits,
		      struct hp_err *err);

/* Ends the session; the keeper detaches on its own time. */
void hp_counting_stop(struct hp_session **s);

/* Makes the counted calls of each thread of @c what its stack says. */
int hp_counting_baseline(struct hp_session *s, struct hp_census *c, struct hp_err *err);

/* The same for one thread, or all, that have counted calls, as far as it can be told now: a call that
 * ended by longjmp or an exception met no exit. */
int hp_counting_recount(struct hp_session *s, struct hp_census *c, struct hp_census_thread *ct,
			struct hp_err *err);
int hp_counting_recount_all(struct hp_session *s, struct hp_census *c, struct hp_err *err);

#endif
