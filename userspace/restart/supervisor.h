/* SPDX-License-Identifier: MIT */
/* restart/supervisor.h – what a supervisor knows, and its steps.  Internal. */
#ifndef HP_RESTART_SUPERVISOR_H
#define HP_RESTART_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/notify.h"
#include "restart/generation.h"
#include "restart/ready.h"
#include "restart/report.h"
#include "restart/restart.h"
#include "restart/retire.h"
#include "restart/spawn.h"
#include "restart/spec.h"
#include "restart/substitute.h"
#include "restart/traced.h"
#include "service/inventory.h"
#include "service/procs.h"

/* The time between two looks for whether it is ready: short at first, when much happens. */
#define HP_LOOK_MIN_NS (2 * HP_MS)

struct hp_supervisor {
	const struct hp_restart_request *req;
	const struct hp_ops_permit *permit;
	int sock; /* to whoever asked; -1: gone */
	int signal_fd;
	uint64_t begun_ns, recorded_ns;

	struct hp_procs group;	       /* the old generation */
	struct hp_listeners listeners; /* … and its */
	struct hp_spec spec;
	struct hp_unit unit;	       /* the spec's, which does not live as long */
	const char *pidfile;	       /* or NULL */
	bool pidfile_was;	       /* it names the old one */
	struct hp_notify_socket notify;
	struct hp_substitution substitution;
	int notify_fd; /* the filter's; -1: none */
	struct hp_traced traced; /* in its place */
	bool more; /* has stopped or ended than was looked at */
	struct hp_readiness readiness;
	bool holds_all; /* of the listeners that it has to; what was not seen is that it waits */
	struct hp_retire retire;

	bool disowned; /* the new generation is PID 1's by now */
	pid_t first; /* what was started; a program that daemonises goes on in another */
	bool first_ended, all_ended;
	int first_status;
	bool said_ready;
	pid_t said_main;
	uint64_t look_ns;

	struct hp_generation generation;
	struct hp_restart_result result;
};

/* --- restart/tell.c ------------------------------------------------------------------------------ */
void hp_supervisor_say(struct hp_supervisor *s, struct hp_report *r);
void hp_supervisor_step(struct hp_supervisor *s, const char *step, const char *text);
void hp_supervisor_warn(struct hp_supervisor *s, const char *text);
/* Writes the generation's file. */
void hp_supervisor_record(struct hp_supervisor *s);

/* --- restart/await.c ----------------------------------------------------------------------------- */
/* Until @deadline_ns, or something of interest happened.  False: who asked is gone. */
bool hp_supervisor_wait(struct hp_supervisor *s, uint64_t deadline_ns);
/* Takes notice of what has ended, and of what stopped while it is traced. */
void hp_supervisor_reap(struct hp_supervisor *s);

/* The processes of the new generation. */
int hp_supervisor_below(const struct hp_supervisor *s, struct hp_procs *ret);

/* --- restart/prepare.c --------------------------------------------------------------------------- */
/* Everything that can be refused before anything is started. */
int hp_supervisor_prepare(struct hp_supervisor *s, struct hp_err *err);

/* --- restart/judge.c ----------------------------------------------------------------------------- */
/* Are those of @below, the new generation, ready?  1, 0, or a negative code: they never will be. */
int hp_supervisor_is_ready(struct hp_supervisor *s, const struct hp_procs *below,
			   struct hp_err *err);
/* The time is over: what is missing. */
int hp_supervisor_not_ready(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err);
/* Which of them is the service's main process. */
int hp_supervisor_find_main(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err);

/* --- restart/start.c ----------------------------------------------------------------------------- */
/* Starts the new one, and returns when it waits at every address. */
int hp_supervisor_start(struct hp_supervisor *s, struct hp_err *err);
/* After a start that failed: nothing is left of it. */
void hp_supervisor_undo(struct hp_supervisor *s);

/* --- restart/disown.c ---------------------------------------------------------------------------- */
/* The new generation of a unit becomes a child of systemd, which so hears of its end at once and
 * how: the supervisor goes on in a child of its own, and who was its parent ends. */
void hp_supervisor_disown(struct hp_supervisor *s);

/* --- restart/switch.c ---------------------------------------------------------------------------- */
/* Returns when the last process of the new generation is gone. */
void hp_supervisor_switch(struct hp_supervisor *s);

#endif
