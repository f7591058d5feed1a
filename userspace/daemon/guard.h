/* SPDX-License-Identifier: MIT */
/*
 * daemon/guard.h – whether what was patched still is.  (DESIGN 2.7)
 *
 * On a timer and before every status one job looks at the entries of all targets at rest.  Where one
 * is not right, a job of that target puts it right, in its turn.  What comes to nothing again and again,
 * a look without an end, a mending that fails, one against a uprobe that comes back, is done less and less
 * often.
 */
#ifndef HP_DAEMON_GUARD_H
#define HP_DAEMON_GUARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_daemon;
struct hp_err;
struct hp_fact_site;
struct hp_fact_target;
struct hp_subject;

#define HP_GUARD_COST_MAX 50 /* looks may take a 50th of the time */
/* What one target takes beyond that puts off its own next look alone. */
#define HP_GUARD_CHEAP_NS (10 * HP_MS)

/* What came to nothing, in a row. */
struct hp_in_vain {
	unsigned times;
	uint64_t last_ns;
};

/* What is known of a subject's entries. */
struct hp_guarded {
	struct hp_fact_site *wrong; /* as last seen: the entries that are not right */
	size_t n_wrong;
	unsigned seen;	 /* times that something was wrong */
	unsigned mended; /* entries put right */
	struct hp_in_vain fights; /* a probe was written over, which comes back */
	struct hp_in_vain failed; /* nothing could be put right */
	struct hp_in_vain lost;	  /* a look came to no end */
	bool passed_over; /* by the last look, whose time others took */
	uint64_t looked_ns; /* when it was looked at to the end; 0: never */
	uint64_t told_ns;   /* … or a look was given up */
	uint64_t due_ns;    /* with others it is not looked at before that */
};
void hp_guarded_free(struct hp_guarded *g);

/* {"wrong":[…],"looked":"…","lost":…,"seen":…,"mended":…,"set_atomic":…} */
json_t *hp_guard_status(const struct hp_subject *s);

/* What a look found, with the @n entries that are not right.  @s may be gone afterwards. */
void hp_guard_note(struct hp_subject *s, const struct hp_fact_target *t,
		   const struct hp_fact_site *wrong, size_t n);

/* --- daemon/guard_round.c ------------------------------------------------------------------------ */

/* Some subject has patches: looks from now on. */
void hp_guard_begin(struct hp_daemon *d);

/* Looks now, at all or at @pid; @done is called in any case, perhaps before this returns. */
void hp_guard_round(struct hp_daemon *d, pid_t pid, void (*done)(void *arg), void *arg);

/* --- daemon/guard.c: what an exec took ------------------------------------------------------------ */

/* The patches of a living process are gone, and nobody unloaded them: it runs another program.  @s
 * may be gone afterwards. */
void hp_guard_dropped(struct hp_subject *s);
/* The last of them, as long as the process lives; of @pid or with 0 of all. */
json_t *hp_guard_dropped_list(struct hp_daemon *d, pid_t pid);
void hp_guard_end(struct hp_daemon *d);
/* In a job: closes what it holds. */
void hp_guard_forget(struct hp_daemon *d);

#endif
