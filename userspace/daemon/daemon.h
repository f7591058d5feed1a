/* SPDX-License-Identifier: MIT */
/*
 * daemon/daemon.h – hpd: one thread, one ring, and what it knows.
 *
 * hpd itself never waits and never touches a target; whatever may wait runs in a job (job.h).
 */
#ifndef HP_DAEMON_DAEMON_H
#define HP_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/signalfd.h>

#include "base/defaults.h"
#include "daemon/access.h"
#include "daemon/conn.h"
#include "daemon/job.h"
#include "daemon/manager.h"
#include "daemon/metrics.h"
#include "front/port.h"
#include "daemon/reply.h"
#include "ipc/ring.h"
#include "daemon/targets.h"

struct hp_err;
struct hp_watch;

struct hp_daemon_options {
	const char *socket;
	const char *state_dir;
	const char *policy; /* the file */
	bool idle_exit;		     /* private: ends when nobody needs it */
	pid_t below;		     /* only what descends from it is looked for; 0: everything */
	int ready_fd;		     /* gets one byte when requests are taken; -1: none */
	uint64_t client_timeout_ns;  /* for a request to be complete */
	uint64_t idle_ns;	     /* with idle_exit: how long nobody */
	uint64_t guard_ns;	     /* between two looks at the entries; 0: only for a status */
};

struct hp_daemon {
	struct hp_daemon_options opt;
	struct hp_ring *ring;
	struct hp_watch *watch; /* NULL: no BPF */
	char watch_why[256];	/* then: why */
	struct hp_access access;
	struct hp_manager manager;

	int lock_fd, signal_fd, claims_fd;
	struct hp_port port; /* the control socket */
	struct hp_ring_op signal;
	struct signalfd_siginfo siginfo;
	struct hp_timer idle;	      /* armed while nobody needs us */
	struct hp_timer patience;     /* for the jobs that run when we are told to end */
	struct hp_timer spare;	      /* armed when a view was opened: for what the next one takes */

	TAILQ_HEAD(hp_conns, hp_conn) conns, dying;
	size_t n_conns; /* in both */
	TAILQ_HEAD(, hp_listener) listeners;
	TAILQ_HEAD(, hp_job) jobs; /* forked and not reaped yet */
	TAILQ_HEAD(, hp_subject) subjects;
	void *subjects_by_pid;		 /* tsearch(3): those that are not gone */
	TAILQ_HEAD(, hp_subject) viewed; /* that have a view; the one worked on last is the last */
	size_t n_viewed;
	TAILQ_HEAD(, hp_watcher) watchers;
	TAILQ_HEAD(, hp_family) families;

	struct hp_timer guard; /* armed while there are patches */
	bool guard_looks;      /* the timer's round is under way */
	uint64_t guard_cost_ns; /* the last round took so long */
	TAILQ_HEAD(, hp_dropped) dropped;
	size_t n_dropped;

	struct hp_metrics metrics;
	uint64_t started_ns, started_wall_ns;
	bool stopping, ended;
};

/* Serves until it is told to end, or has nothing left to do.  0 or a negative code. */
int hp_daemon_run(const struct hp_daemon_options *opt, struct hp_err *err);

/* Takes requests from now on: when it is known what a previous hpd left, so that what puts it right
 * is the first in its target's queue. */
void hp_daemon_begin(struct hp_daemon *d);

/* To be called when a client, job or target went: an idle private hpd ends, a stopping one too. */
void hp_daemon_settle(struct hp_daemon *d);

/* In a fork: closes what belongs to hpd alone, so that the job holds no client, no other job, and
 * not the ring. */
void hp_daemon_forget(struct hp_daemon *d);

#endif
