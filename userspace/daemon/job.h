/* SPDX-License-Identifier: MIT */
/*
 * daemon/job.h – one operation in a process of its own.
 *
 * A job is a fork of hpd: it inherits the BPF programs and the view, may wait and may crash.  Over
 * its socket (job_record.h) come steps, any number of them, then one answer.  With the answer its
 * target is free for the next job; the process may live on a little (the one of a restart follows the
 * drain of the old process, and goes on telling steps).
 * It dies with hpd.  The other direction of the socket says "stop" by its end.
 */
#ifndef HP_DAEMON_JOB_H
#define HP_DAEMON_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "access/peer.h"
#include "base/buf.h"
#include "daemon/job_record.h"
#include "ipc/request.h"
#include "ipc/ring.h"

struct hp_daemon;
struct hp_err;
struct hp_subject;

const char *hp_job_kind_name(enum hp_job_kind kind); /* "load", … */

struct hp_job {
	TAILQ_ENTRY(hp_job) link; /* of d->turns.waiting, then of the target's queue, then of d->jobs */
	struct hp_daemon *d;
	struct hp_subject *subject; /* NULL: no process of its own, or there is none */
	struct hp_job_request req;
	struct hp_peer *peer; /* for whom; owned; NULL: for hpd itself, which may everything */
	int process;	      /* pidfd of the one that is meant, and nobody else; -1: who has the number */
	uint64_t since_ns;
	char step[32]; /* the last one said */
	bool gate_closed;

	pid_t child; /* 0: not started */
	int pidfd, sock;
	struct hp_ring_op recv, exited;
	struct hp_timer deadline;
	struct hp_buf heard; /* not whole yet */
	unsigned stops; /* times that somebody stopped its process */
	bool waits, in_turn; /* turns.h */
	bool stop_asked, late, answered;
	bool distrusted; /* nothing more that it says is taken */

	/* @said is borrowed. Both may be NULL. */
	void (*on_step)(struct hp_job *job, const struct hp_job_said *said);
	void (*on_answer)(struct hp_job *job, const struct hp_job_said *said);
	void *client;
};

/* Takes what is in @req, and a copy of @peer (NULL: hpd itself).  NULL: no memory, and @req is
 * freed. */
struct hp_job *hp_job_new(struct hp_daemon *d, struct hp_job_request *req,
			  const struct hp_peer *peer);
/* When it is its user's turn queues it at its target, or starts it; the answer may come before this
 * returns. */
void hp_job_submit(struct hp_job *job, bool first);
/* For the target's queue. */
void hp_job_start(struct hp_job *job);
/* A watch ends when asked to; with @force whatever it does ends. */
void hp_job_stop(struct hp_job *job, bool force);
/* Threads of a target may wait for a job that somebody stopped (SIGSTOP): it goes on, or ends. */
void hp_jobs_put_on(struct hp_daemon *d);
/* Of one that has not begun: */
void hp_job_refuse(struct hp_job *job, const struct hp_err *why); /* answers and frees it */
void hp_job_free(struct hp_job *job);

/* In the fork of @parent: does it, tells over @sock, and never returns. (job_child.c) */
_Noreturn void hp_job_child(struct hp_job *job, int sock, pid_t parent);

#endif
