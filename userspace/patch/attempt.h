/* SPDX-License-Identifier: MIT */
/*
 * patch/attempt.h – one closing of the gate: arm, close, see who parks, commit or open again.
 * What both ways of a transition (by gate alone, by watch) share.
 */
#ifndef HP_PATCH_ATTEMPT_H
#define HP_PATCH_ATTEMPT_H

#include "patch/live.h"
#include "target/pidns.h"

#define HP_ATTEMPTS_MAX 64

struct hp_attempt {
	struct hp_live *lv;
	enum hp_side from;
	enum hp_path gate; /* HP_PATH_GATE from old to new, else HP_PATH_GATE_BACK */
	uint64_t closed_ns, first_park_ns;
	int usual_nice; /* ours, while the gate is open */
	bool over; /* the deadline opened the gate: everybody went on in @from */
	struct {
		pid_t *v;
		size_t n, room;
	} parked; /* not yet judged */
	struct hp_pidns names; /* of the threads, as the gatekeeper hears them */
};

static inline enum hp_path hp_gate_of(enum hp_side from)
{
	return from == HP_OLD ? HP_PATH_GATE : HP_PATH_GATE_BACK;
}

/* A gate page that is not there, registered with the gatekeeper; no slot shows it yet. */
int hp_attempt_arm(struct hp_attempt *at, struct hp_live *lv, enum hp_side from,
		   struct hp_err *err);

/* The deadline runs from here; the caller moves the slots to the gate next. */
int hp_attempt_close(struct hp_attempt *at, uint64_t budget_ns, struct hp_err *err);

/* Takes what the gatekeeper has to say: at->over, at->parked. */
int hp_attempt_events(struct hp_attempt *at, struct hp_err *err);

/* A parked thread that holds an old frame: goes on in @from's code.  -EBUSY: it waits for the lock
 * of the memory map now; to be tried again. */
int hp_attempt_pass(struct hp_attempt *at, pid_t tid, struct hp_err *err);

/* 0: the other side runs, for everybody; the caller moves the slots to it.  -ETIME: the deadline
 * was first. */
int hp_attempt_commit(struct hp_attempt *at, struct hp_err *err);

/* Opens to @from (if the deadline has not) and takes the parked time off the budget. */
int hp_attempt_give_up(struct hp_attempt *at, struct hp_err *err);

void hp_attempt_free(struct hp_attempt *at);

/* How long the gate may be closed in this attempt: half of the budget that is left, since a thread
 * in flight that was preempted on a busy machine needs its turn. */
uint64_t hp_attempt_slice(const struct hp_live *lv);

/* Lets the target work before the next attempt: 1 ms, doubled up to 64 ms. */
void hp_attempt_backoff(unsigned try);

#endif
