/* SPDX-License-Identifier: MIT */
/*
 * daemon/targets.h – the processes that hpd knows.
 *
 * A subject is a process with patches, or with work under way.  It holds the pidfd, the view (the
 * pinned maps) and the queue of jobs, of which one runs.  It is dropped when the process exits, or
 * when there is neither a patch nor work.
 *
 * Watching calls is work of the lowest rank: while somebody watches and nothing else is to do, a
 * watch job runs; it is asked to stop when another job comes, and started again afterwards.
 */
#ifndef HP_DAEMON_TARGETS_H
#define HP_DAEMON_TARGETS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/guard.h"
#include "daemon/job.h"
#include "ipc/ring.h"

struct hp_daemon;
struct hp_err;
struct hp_job;
struct hp_view;

struct hp_subject {
	TAILQ_ENTRY(hp_subject) link;
	struct hp_daemon *d;
	pid_t pid;
	int pidfd;
	int claim; /* daemon/claims.h */
	struct hp_ring_op exited;
	struct hp_view *view;	/* NULL: not needed so far, given up, or no BPF */
	TAILQ_ENTRY(hp_subject) viewed; /* of d->viewed, with a view */
	size_t patches;		/* as last heard */
	size_t functions;	/* that they replace */
	size_t counted, retained, replaced; /* while a list is gone through */
	bool untold;		/* … which has something that it cannot tell of it */
	bool unproven;		/* they are from before it was claimed: nobody has looked since */
	bool gone;		/* the process exited; freed when its jobs have ended */

	TAILQ_HEAD(hp_job_queue, hp_job) queue;
	unsigned queued;
	struct hp_job *running; /* has not answered yet: one at a time … */
	unsigned jobs;		/* … while others that did may still take their probes down */

	unsigned lost_recoveries; /* that died, since one ended */

	/* A patch that is retained is tried again, less and less often. */
	struct hp_timer retry;
	uint64_t retry_ns; /* 0: nothing is retained */

	struct hp_guarded guard;

	unsigned call_watchers;
	struct hp_timer tick; /* counts to the watchers, every second */
};

/* NULL when there is none. */
struct hp_subject *hp_subject_find(struct hp_daemon *d, pid_t pid);
/* Finds or makes one; NULL when there is no such process (its job will say so). */
struct hp_subject *hp_subject_get(struct hp_daemon *d, pid_t pid);

/* Claims it for this hpd (-HP_E_TARGET: another one has it), and with @view opens the view when there
 * is none and BPF is there. */
int hp_subject_claim(struct hp_subject *s, bool view, struct hp_err *err);

/* Starts @job, or lets it wait: @s may be gone afterwards. */
void hp_subject_queue(struct hp_subject *s, struct hp_job *job, bool first);
/* No more jobs may be queued. */
bool hp_subject_full(const struct hp_subject *s);
/* One of that kind runs there, or waits. */
bool hp_subject_has(const struct hp_subject *s, enum hp_job_kind kind);
/* One that has not begun; frees it: @s may be gone afterwards. */
void hp_subject_unqueue(struct hp_subject *s, struct hp_job *job);
/* @job, which was running, has answered; its process may live on. */
void hp_subject_answered(struct hp_subject *s, struct hp_job *job);
/* A job's process is gone: @s may be gone afterwards. */
void hp_subject_ended(struct hp_subject *s);
/* A job failed with @code (negative): what was left partly done is tried once more; and where the
 * process is another program since (exec), what hp left with the old one is cleaned up. */
void hp_subject_failed(struct hp_subject *s, int code);

/* Puts right what a job left, before anything else is done, and finds out what is there.  @s may be
 * gone afterwards. */
void hp_subject_recover(struct hp_subject *s);

/* What an answer tells of the patches in processes: to be called with every one that is no error. */
void hp_targets_learn(struct hp_daemon *d, const struct hp_job *job, const struct hp_job_said *said);

/* Somebody wants the calls counted (hp_subject_go() begins), or no longer does.  After the last two
 * @s may be gone. */
void hp_subject_watch(struct hp_subject *s);
void hp_subject_go(struct hp_subject *s);
void hp_subject_unwatch(struct hp_subject *s);

/* The process still points into a patch that is out of use, or no longer does. */
void hp_subject_set_retained(struct hp_subject *s, bool retained);

/* Frees @s if nothing needs it. */
void hp_subject_settle(struct hp_subject *s);

/* Its patches are gone.  @s may be, too, afterwards. */
void hp_subject_forget(struct hp_subject *s);

/* hpd is about to end: what waits is answered with @why.  @s may be gone afterwards. */
void hp_subject_dismiss(struct hp_subject *s, const struct hp_err *why);

/* At start: what a previous hpd left is found and put right; then hpd serves. */
void hp_targets_recover(struct hp_daemon *d);
/* At the end: views are closed, so that pins go. */
void hp_targets_free(struct hp_daemon *d);

#endif
