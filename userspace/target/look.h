/* SPDX-License-Identifier: MIT */
/*
 * target/look.h – is a thread inside a set of functions?  (DESIGN 2.4)
 *
 * A thread off the CPU is read without touching it: a BPF program gives its switch count, then
 * on_cpu, then its registers; user space reads the stack; an unchanged switch count afterwards
 * makes it a valid snapshot.  A thread that runs is preempted for the moment of the look; only where
 * that cannot be done is it stopped, for some 20 µs.  One that eludes a look is to be looked at again.
 *
 * First the stack is scanned for words that could be return addresses into the set; on a hit it is
 * unwound (libdwfl), following signal frames.  What cannot be told is told so: a look never says
 * "outside" on a walk that ended early.
 */
#ifndef HP_TARGET_LOOK_H
#define HP_TARGET_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/target.h"
#include "target/threads.h"

struct hp_looker;

/* A piece of a function of the set: [lo, hi).  A return address equal to hi counts as inside. */
struct hp_part {
	struct hp_range range;
	unsigned fn; /* index in the set */
};

/* What it means that a thread stands at a pc in hp's own code (stubs, path blocks, moved heads). */
struct hp_own_place {
	enum {
		HP_OWN_NO,	/* not hp's code */
		HP_OWN_OUTSIDE, /* of hp, but as good as about to call @as_pc */
		HP_OWN_INSIDE,	/* in function @fn, as if at @as_pc */
		HP_OWN_UNSURE,	/* look again */
	} kind;
	hp_addr as_pc;	 /* for the unwinder */
	unsigned pushed; /* rsp lies so many bytes below what it would be at as_pc */
	unsigned fn;
};

/* The set. */
struct hp_scene {
	const struct hp_part *part;
	size_t n_parts;
	const struct hp_range *own; /* hp's code ranges, for the scan; may be empty */
	size_t n_own;
	void (*place)(void *arg, hp_addr pc, struct hp_own_place *ret); /* NULL: no own code */
	void *arg;
	bool entry_is_patched; /* a thread whose pc is a function's first byte stands on hp's jump
				  and is outside */
};

#define HP_CALLS_MAX 64

/* One call in flight: its function and the stack pointer at its entry (at the return address). */
struct hp_call {
	unsigned fn;
	hp_addr sp;
};

struct hp_seen {
	enum hp_verdict {
		HP_SEEN_OUTSIDE,
		HP_SEEN_INSIDE,
		HP_SEEN_AGAIN,	 /* it ran, or stands where nothing can be told: look again */
		HP_SEEN_UNKNOWN, /* its stack cannot be read to a known thread root (a coroutine) */
		HP_SEEN_GONE,
	} verdict;
	bool stopped;	       /* it had to be stopped */
	uint64_t switches;     /* switch count of the snapshot; 0 when stopped */
	struct user_regs_struct regs;
	struct hp_range altstack; /* sigaltstack(2); empty: none, or not known */
	struct hp_call call[HP_CALLS_MAX]; /* innermost first */
	size_t n_calls;			   /* capped; the outermost is always call[n_calls-1] */
	hp_addr blocked_pc;		   /* of the innermost inside frame, for messages */
};

/* Descriptors of the BPF programs of watch/ that look on.  Not owned. */
struct hp_look_progs {
	int snap, sharer;
};

/* @progs: NULL where there is no BPF: every thread is stopped.  The looker reads the target's files
 * anew on hp_looker_refresh_in(). */
int hp_looker_open(struct hp_looker **ret, struct hp_target *t, const struct hp_look_progs *progs,
		   struct hp_err *err);
void hp_looker_free(struct hp_looker *l);
/* As hp_target_refresh_in(). */
int hp_looker_refresh_in(struct hp_looker *l, const struct hp_range *in, size_t n, struct hp_err *err);

/* Called with the thread still held (stopped): what it says cannot change meanwhile.  What it
 * returns, hp_look() returns. */
typedef int (*hp_held_fn)(void *arg, pid_t tid, const struct hp_seen *seen);

/* Looks at one thread.  With @held: it is called, with the thread stopped, whenever the thread had
 * to be stopped or the verdict is INSIDE (then it is stopped for it and looked at again).
 * Errors of the look itself (-HP_E_GONE for the process, -HP_E_READER), and what @held returned; a
 * thread that ended is a verdict. */
int hp_look(struct hp_looker *l, pid_t tid, const struct hp_scene *scene, struct hp_seen *ret,
	    hp_held_fn held, void *arg, struct hp_err *err);

/* The same for a thread that the caller has stopped already. */
int hp_look_stopped(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
		    struct hp_seen *ret, struct hp_err *err);

/* True when the thread has not run since a snapshot with that switch count. */
bool hp_look_unmoved(struct hp_looker *l, pid_t tid, uint64_t switches);

/* Everybody who executes the target's code but @agent: its own threads (@n_own, which may be NULL, of
 * them), and behind them those of other processes that share its memory, by clone(CLONE_VM) without
 * CLONE_THREAD, or vfork(2).  Replaces what @ret held. */
int hp_look_threads(struct hp_looker *l, pid_t agent, struct hp_pids *ret, size_t *n_own,
		    struct hp_err *err);
/* Does a thread of another process still share it? */
bool hp_look_shares(struct hp_looker *l, pid_t tid);

/* The stack as text, one frame a line, 256 at most, for `hpctl explain` and refusals. */
struct hp_stack_line {
	hp_addr pc;
	char text[256];
};
struct hp_stack {
	struct hp_stack_line *v;
	size_t n, room;
};
int hp_look_stack(struct hp_looker *l, pid_t tid, struct hp_stack *ret, struct hp_err *err);
void hp_stack_free(struct hp_stack *s);

/* Where the thread is, in one line: "at poll (libc.so.6+…), called from main (…)"; returns
 * @buf. */
const char *hp_look_where(struct hp_looker *l, const struct hp_seen *seen, char *buf, size_t n);

struct hp_look_stats {
	uint64_t looks, displaced, stopped, torn, unwound, scan_hits;
};
const struct hp_look_stats *hp_looker_stats(const struct hp_looker *l);

#endif
