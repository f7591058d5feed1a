/* SPDX-License-Identifier: MIT */
/*
 * patch/leads.h – whose code a word on a function's way leads to, of all patches in a process.
 *
 * Sorted, so that whoever follows the words of all functions takes n log n steps, whatever a
 * target wrote into its ledgers.
 */
#ifndef HP_PATCH_LEADS_H
#define HP_PATCH_LEADS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct hp_ledger;

/* One patch's place on one function. */
struct hp_link {
	struct hp_ledger *l;
	unsigned fn;
};

struct hp_lead {
	hp_addr door, at;
	bool from_door;	  /* @at: the block or the new function; else the inner stub */
	unsigned n_bytes; /* from @at on, that may be led to */
	struct hp_link to;
};

struct hp_leads {
	struct hp_lead *v; /* those of one door beside each other */
	size_t n, room;
};

/* Adds what leads to @l; to be sorted before it is asked.  -ENOMEM. */
int hp_leads_add(struct hp_leads *s, struct hp_ledger *l);
void hp_leads_sort(struct hp_leads *s);
void hp_leads_drop(struct hp_leads *s, const struct hp_ledger *l);

/* What @word leads to on the way of the function with @door, or NULL. */
const struct hp_link *hp_leads_find(const struct hp_leads *s, hp_addr door, hp_addr word,
				    bool from_door);

#endif
