/* SPDX-License-Identifier: MIT */
/*
 * restart/restart.h – replacing a whole process without refusing or losing a request: the only face
 * of this folder towards daemon/.  (DESIGN 7)
 *
 * A restart is done by a *supervisor*, a process of its own with a session of its own.  Until the
 * new generation is ready it ends with whoever asked for it, and takes all that it has started with
 * it: the old generation has not been touched.  From the *switch* on it lives as long as the new
 * generation: it drains the old one, and keeps the seccomp descriptor; where there is none
 * (no_residue) it ends when the old one is gone.
 */
#ifndef HP_RESTART_RESTART_H
#define HP_RESTART_RESTART_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "elf/patchinfo.h"
#include "patch/ops.h"

struct hp_err;

#define HP_DEFAULT_READY_NS (30 * 1000000000ull)
#define HP_DEFAULT_DRAIN_NS (30 * 1000000000ull)
/* From SIGTERM after the deadline to SIGKILL: what systemd gives a service by default
 * (TimeoutStopSec=). */
#define HP_RESTART_STOP_NS (90 * 1000000000ull)

enum hp_drain_way {
	HP_DRAIN_DEFAULT,  /* graceful where hp knows the program, else external */
	HP_DRAIN_GRACEFUL, /* a signal says it: the program knows how */
	HP_DRAIN_EXTERNAL, /* hp takes the listeners out of it; the signal comes when it is idle */
};

enum hp_restart_env { HP_RESTART_ENV_KEEP, HP_RESTART_ENV_EMPTY };
enum hp_restart_ready { HP_READY_AUTO, HP_READY_NOTIFY };

struct hp_restart_request {
	pid_t pid;
	const char *const *argv; /* of the new one; none: as the old one was started */
	size_t n_argv;
	enum hp_drain_way drain;
	int drain_signal; /* 0: what is usual */
	enum hp_restart_ready ready;
	uint64_t ready_ns, drain_ns;
	enum hp_restart_env env;
	struct hp_pairs set; /* on top of that */
	const char *pidfile; /* or NULL */
	const char *user;    /* or NULL: whose the old one is */
	bool allow_new_binds;
	bool no_residue; /* traced until it is ready, instead of a filter for as long as it lives */
};

#define HP_WARNINGS_MAX 16
#define HP_WARNING_TEXT 256

struct hp_restart_result {
	pid_t pid, old;
	unsigned generation; /* of the new one; the first that hp replaced is 1 */
	uint64_t ready_ns;   /* from the start to the switch */
	unsigned listeners;
	unsigned n_warnings;
	char warning[HP_WARNINGS_MAX][HP_WARNING_TEXT];
};

/* How the old generation ended. */
struct hp_restart_drained {
	unsigned left; /* connections that were open at the deadline */
	bool killed;   /* by SIGKILL, after all */
	uint64_t ns;   /* from the switch on */
};

struct hp_restart;

/* Returns after the switch, when the old generation no longer takes new connections: @ret has to be
 * given to hp_restart_end().  Or with a negative code: the old generation serves on, untouched, and
 * nothing is left of the new one.  -HP_E_PARTIAL: both serve, and @ret and @result are
 * set all the same.  Steps are reported: "start", "bind", "main-pid", "switch", "warning".  Of @ops
 * report and permit are used. */
int hp_restart_begin(struct hp_restart **ret, const struct hp_restart_request *req,
		     const struct hp_ops *ops, struct hp_restart_result *result,
		     struct hp_err *err);

/* Reports "draining", "open" (a connection that was cut off), until the old generation is gone, or
 * @stop_fd says the end (-ECANCELED: the supervisor goes on by itself). */
int hp_restart_follow(struct hp_restart *r, int stop_fd, struct hp_restart_drained *ret,
		      struct hp_err *err);
void hp_restart_end(struct hp_restart *r);

/* What supervisors say of the generations that they started, in which one of @of is the new process or
 * the old one (NULL: of all), as a JSON array; NULL: no memory. */
json_t *hp_generations_list(const struct hp_pids *of);

/* Puts right what supervisors that were killed have left: paths that cannot be removed, an old
 * generation that nobody ends.  What takes time is done by a process of its own. */
void hp_restart_repair(void);

/* Words behind --drain: "external", "graceful:SIGQUIT", … */
bool hp_drain_parse(const char *text, enum hp_drain_way *way, int *signal);

#endif
