/* SPDX-License-Identifier: MIT */
/* restart/retire.h – draining the old generation, step by step. */
#ifndef HP_RESTART_RETIRE_H
#define HP_RESTART_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "restart/restart.h"
#include "service/inventory.h"
#include "service/procs.h"

struct hp_target;

enum hp_retire_phase {
	HP_RETIRE_TAKING,   /* external: the listeners are being taken out of it */
	HP_RETIRE_DRAINING, /* external: until its last connection; graceful: told to end */
	HP_RETIRE_STOPPING, /* told to end, or told again after the deadline */
	HP_RETIRE_GONE,
};

struct hp_retire {
	pid_t main;
	int main_fd; /* the process that had that number when it was described; -1: it has ended */
	/* Held since they were first seen, and dropped when they have ended, with which their number says
	 * nothing any more: the old generation; once its drain has begun those that hold a listener, and
	 * @main. */
	struct hp_procs procs;
	int *pidfds;
	struct hp_listeners *listeners;
	enum hp_drain_way way;
	int signal;
	enum hp_retire_phase phase;
	uint64_t since_ns, deadline_ns, kill_ns;
	bool late;    /* the deadline has passed */
	bool orphans; /* @main is gone, and the others were told */
	unsigned open; /* connections, as last counted */
	struct hp_restart_drained drained;
	void (*tell)(void *arg, const char *step, const char *text);
	void *arg;
};

/* What @req asks for, where it leaves that to hp: by the program's name. */
void hp_retire_choose(struct hp_retire *r, const struct hp_restart_request *req, const char *comm);

/* Holds @main, and those of @group, what hp_procs_below() said of it.  They are so if @main has not
 * ended by then. */
int hp_retire_hold(struct hp_retire *r, const struct hp_target *main, const struct hp_procs *group,
		   struct hp_err *err);

/* @r->listeners, way, signal, tell are set.  Begins the drain of those that are held, or were forked
 * since then, and hold a listener. */
int hp_retire_begin(struct hp_retire *r, uint64_t drain_ns, struct hp_err *err);
/* What is due now.  @r->phase and @r->open tell how far it is. */
void hp_retire_step(struct hp_retire *r);
void hp_retire_free(struct hp_retire *r);

#endif
