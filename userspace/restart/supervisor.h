/* SPDX-License-Identifier: MIT */
/* restart/supervisor.h – what a supervisor knows, and its steps before the switch.  Internal. */
#ifndef HP_RESTART_SUPERVISOR_H
#define HP_RESTART_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/notify.h"
#include "restart/generation.h"
#include "restart/inventory.h"
#include "restart/procs.h"
#include "restart/ready.h"
#include "restart/restart.h"
#include "restart/retire.h"
#include "restart/spawn.h"
#include "restart/spec.h"
#include "restart/substitute.h"

struct hp_supervisor {
	const struct hp_restart_request *req;
	const struct hp_ops_permit *permit;
	int sock; /* to whoever asked; -1: gone */
	int signal_fd;
	uint64_t begun_ns, recorded_ns;

	struct hp_procs group;	       /* the old generation */
	struct hp_listeners listeners; /* … and its */
	bool shielded;		       /* their paths are (shield.h) */
	struct hp_spec spec;
	struct hp_notify_socket notify;
	struct hp_substitution substitution;
	struct hp_readiness readiness;
	struct hp_retire retire;

	pid_t first; /* what was started; a program that daemonises goes on in another */
	bool first_ended, all_ended;
	int first_status;
	bool said_ready;
	pid_t said_main;
	uint64_t look_ns;

	struct hp_generation generation;
	struct hp_restart_result result;
};

void hp_supervisor_step(struct hp_supervisor *s, const char *step, const char *text);

/* Everything that can be refused before anything is started. */
int hp_supervisor_prepare(struct hp_supervisor *s, struct hp_err *err);

/* Are those of @below, the new generation, ready?  1, 0, or a negative code: they never will be. */
int hp_supervisor_is_ready(struct hp_supervisor *s, const struct hp_procs *below,
			   struct hp_err *err);
/* The time is over: what is missing. */
int hp_supervisor_not_ready(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err);
/* Which of them is the service's main process. */
int hp_supervisor_find_main(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err);

#endif
