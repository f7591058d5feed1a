/* SPDX-License-Identifier: MIT */
/*
 * daemon/guard.h – whether what was patched still is.  (DESIGN 2.7)
 *
 * On a timer and before every status one job looks at the entries of all targets at rest.  Where one
 * is not right, a job of that target puts it right, in its turn.  What comes to nothing again and again,
 * a look that takes too long, a mending that fails, one against a uprobe that comes back, is done less and
 * less often.
 */
#ifndef HP_DAEMON_GUARD_H
#define HP_DAEMON_GUARD_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_daemon;
struct hp_err;
struct hp_fact_site;
struct hp_subject;

/* What is known of a subject's entries. */
struct hp_guarded {
	struct hp_fact_site *wrong; /* as last seen: the entries that are not right */
	size_t n_wrong;
	unsigned seen;	 /* times that something was wrong */
	unsigned mended; /* entries put right */
	unsigned fights; /* times that a probe was written over … */
	uint64_t fight_ns; /* … and is not before that */
	unsigned failed; /* times in a row that nothing could be put right, … */
	uint64_t mend_ns;
	unsigned lost;	 /* … that a look came to no end: it is not looked at with others … */
	uint64_t look_ns;
};
void hp_guarded_free(struct hp_guarded *g);

/* Some subject has patches: looks from now on. */
void hp_guard_begin(struct hp_daemon *d);

/* Looks now, at all or at @pid; @done is called in any case, perhaps before this returns. */
void hp_guard_round(struct hp_daemon *d, pid_t pid, void (*done)(void *arg), void *arg);

/* {"wrong":[…],"lost":…,"seen":…,"mended":…,"set_atomic":…} */
json_t *hp_guard_status(const struct hp_subject *s);

/* The patches of a living process are gone, and nobody unloaded them: it runs another program.  @s
 * may be gone afterwards. */
void hp_guard_dropped(struct hp_subject *s);
/* The last of them, as long as the process lives; of @pid or with 0 of all. */
json_t *hp_guard_dropped_list(struct hp_daemon *d, pid_t pid);
void hp_guard_end(struct hp_daemon *d);
/* In a job: closes what it holds. */
void hp_guard_forget(struct hp_daemon *d);

#endif
