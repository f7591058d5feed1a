/* SPDX-License-Identifier: MIT */
/*
 * gate/gate.h – the gate page and its keeper.  (DESIGN 2.5)
 *
 * The gate is one page of the target, registered with userfaultfd for missing pages.  While it is
 * not there, a call that reads the gate byte sleeps in the kernel.  One UFFDIO_COPY of a page whose
 * first byte is 1 commits the whole set; UFFDIO_ZEROPAGE lets everybody go on in old code;
 * whichever comes first wins and the other gets EEXIST.
 *
 * The gatekeeper is a small process that holds the only reference to the userfaultfd and its own
 * deadline: when it or hpd dies the kernel closes the descriptor and every parked thread reads a
 * zero page.  Fail-open by construction.
 */
#ifndef HP_GATE_GATE_H
#define HP_GATE_GATE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

struct hp_err;
struct hp_gate;

enum hp_gate_event_kind {
	HP_GATE_PARKED,   /* a thread came to the closed gate */
	HP_GATE_DEADLINE, /* the budget is spent: all parked threads went on in old code */
};

struct hp_gate_event {
	enum hp_gate_event_kind kind;
	pid_t tid;        /* HP_GATE_PARKED; as the target's own pid namespace numbers it */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
};

/* Forks the gatekeeper (real-time priority where allowed, confined as HP_ROLE_GATEKEEPER:
 * base/confine.h), with nothing armed.  It ends with the thread that calls this.  It sets itself up
 * meanwhile: that it could not is told by the first call that asks something of it. */
int hp_gate_start(struct hp_gate **ret, struct hp_err *err);
/* A gate that is still armed opens to old code, at once; the gatekeeper is of no use then.  NULL is
 * harmless. */
void hp_gate_release(struct hp_gate *g);
/* Ends the gatekeeper (a closed gate opens to old code) and reaps it.  NULL is harmless. */
void hp_gate_stop(struct hp_gate *g);
pid_t hp_gate_pid(const struct hp_gate *g);

/* Takes the userfaultfd that agent @agent_tid has as @agent_fd (pidfd_getfd; the caller then closes
 * the agent's own), registers the page at @page.  May be armed again after a commit, a cancel or a
 * deadline: each time with a new userfaultfd. */
int hp_gate_arm(struct hp_gate *g, pid_t agent_tid, int agent_fd, hp_addr page, struct hp_err *err);

/* From now on @budget_ns may pass before the deadline opens the gate to old code. */
int hp_gate_close(struct hp_gate *g, uint64_t budget_ns, struct hp_err *err);

/* 0: committed, all new.  -ETIME: the deadline was first, all old.  Both disarm.  Any other error:
 * all old as well, but for -HP_E_FAILED (the gatekeeper died): then the gate byte tells. */
int hp_gate_commit(struct hp_gate *g, struct hp_err *err);
/* 0 or -ETIME: all old.  Disarms. */
int hp_gate_cancel(struct hp_gate *g, struct hp_err *err);

/* POLLIN when hp_gate_next() has something. */
int hp_gate_fd(const struct hp_gate *g);
/* 1 with *ev, 0 when there is nothing now, or an error (gatekeeper died: -HP_E_FAILED; the target
 * goes on in old code).  To be asked all the while the gate is closed: a gatekeeper that does not keep
 * its deadline is killed here, which opens the gate. */
int hp_gate_next(struct hp_gate *g, struct hp_gate_event *ev, struct hp_err *err);

#endif
