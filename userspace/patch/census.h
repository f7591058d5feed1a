/* SPDX-License-Identifier: MIT */
/*
 * patch/census.h – the threads of a target in one transition, and what is known of each.
 */
#ifndef HP_PATCH_CENSUS_H
#define HP_PATCH_CENSUS_H

#include "patch/live.h"

struct hp_census_thread {
	pid_t tid;
	bool sharer;	   /* no thread of the target: hp_look_threads() */
	bool outside;	   /* proven, for the question that the census is asked now */
	bool known;	   /* switches is of a look that found it outside */
	uint64_t switches;
	hp_addr sp;	   /* when it was last looked at; 0: never */
	int drain;	   /* its entry in the draining table, -1: none */
	unsigned inside_n; /* how often in a row it was seen inside */
};

struct hp_census {
	struct hp_live *lv;
	struct hp_census_thread *v;
	size_t n, room;
	pid_t last_tid; /* the last one that was found inside, or could not be told; 0: none */
	struct hp_seen last;
};

/* Lists the threads; what is known of those that were listed before is kept, `outside` and `drain`
 * are reset. */
int hp_census_take(struct hp_census *c, struct hp_err *err);
void hp_census_free(struct hp_census *c);

struct hp_census_thread *hp_census_find(struct hp_census *c, pid_t tid); /* NULL: born since */

/* True when the thread was outside at its last look and has not run since. */
bool hp_census_unmoved(struct hp_census *c, const struct hp_census_thread *ct);

/* Looks at one thread and updates it; the verdict, or a negative code. */
int hp_census_look(struct hp_census *c, struct hp_census_thread *ct, struct hp_seen *seen,
		   struct hp_err *err);

/* Looks at all, without any claim for later but `known`.  *inside: how many are not outside. */
int hp_census_survey(struct hp_census *c, unsigned *inside, struct hp_err *err);

/* The sentence on the last thread that stood in the way; -HP_E_NOT_QUIESCENT. */
int hp_census_blame(const struct hp_census *c, struct hp_err *err);

bool hp_census_all_outside(const struct hp_census *c);

#endif
