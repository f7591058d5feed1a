/* SPDX-License-Identifier: MIT */
/*
 * daemon/turns.h – how many operations run at once, for one user and for all.
 *
 * A target has its queue (targets.h); this one is before them, for what clients ask for: each operation is
 * a process of root's, and anybody may ask for as many as he has connections.  Who waits here holds up no
 * target.  What hpd does for itself does not wait.  Root's operations are counted by themselves, so that
 * nobody's keep root from his.
 */
#ifndef HP_DAEMON_TURNS_H
#define HP_DAEMON_TURNS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "ipc/request.h"

#define HP_TURNS_USER 8	 /* at once for one user but root */
#define HP_TURNS_ALL  64 /* … for all of those together, and for root */

struct hp_daemon;
struct hp_err;
struct hp_job;

struct hp_turns {
	TAILQ_HEAD(hp_waiting_jobs, hp_job) waiting;
	unsigned n_waiting;
	unsigned root, others; /* that run */
	struct {
		uid_t uid;
		unsigned n;
	} user[HP_TURNS_ALL];
	unsigned n_users;
	bool calling;
};

/* True: @job, which is for somebody, may begin.  False: hp_job_submit() is called again when it may. */
bool hp_turn_take(struct hp_job *job);
/* One that had begun is done, or was given up. */
void hp_turn_end(struct hp_job *job);
/* One that waits is not wanted any more. */
void hp_turn_leave(struct hp_job *job);
/* One of that kind waits for process @pid. */
bool hp_turns_has(const struct hp_daemon *d, enum hp_job_kind kind, pid_t pid);

/* hpd is about to end: whoever waits is told @why. */
void hp_turns_dismiss(struct hp_daemon *d, const struct hp_err *why);
/* At the end. */
void hp_turns_free(struct hp_daemon *d);

#endif
