/* SPDX-License-Identifier: MIT */
/*
 * daemon/daemon.h – hpd, the monitor: one thread, one ring, and what it knows.
 *
 * It never waits, never touches a target and never reads a stranger's bytes: whatever may wait runs in a
 * job (job.h), what clients send is read by front (front.h).
 */
#ifndef HP_DAEMON_DAEMON_H
#define HP_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/signalfd.h>

#include "access/access.h"
#include "daemon/client.h"
#include "daemon/front.h"
#include "daemon/job.h"
#include "daemon/manager.h"
#include "daemon/metrics.h"
#include "daemon/status.h"
#include "daemon/targets.h"
#include "daemon/turns.h"
#include "ipc/ring.h"

struct hp_err;
struct hp_watch;

struct hp_daemon_options {
	const char *socket;
	const char *state_dir;
	const char *policy; /* the file */
	const char *front;  /* the program hpd-front */
	bool idle_exit;		     /* private: ends when nobody needs it */
	pid_t below;		     /* only what descends from it is looked for; 0: everything */
	int ready_fd;		     /* gets one byte when requests are taken; -1: none */
	uint64_t client_timeout_ns;  /* for a request to be complete */
	uint64_t answers_max;	     /* bytes that clients have not taken, all of them together */
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
	int listen_fd; /* the control socket; front accepts on a copy */
	struct hp_front front;
	struct hp_ring_op signal;
	struct signalfd_siginfo siginfo;
	struct hp_timer idle;	      /* armed while nobody needs us */
	struct hp_timer patience;     /* for the jobs that run when we are told to end */
	struct hp_timer spare;	      /* armed when a view was opened: for what the next one takes */

	TAILQ_HEAD(, hp_client) clients; /* who wait for an answer */
	void *clients_by_conn;		 /* tsearch(3) */
	size_t n_clients;
	size_t n_conns; /* of the control socket, as front says */
	TAILQ_HEAD(, hp_serve) listeners;
	TAILQ_HEAD(, hp_job) jobs; /* forked and not reaped yet */
	struct hp_turns turns;	   /* who wait to begin */
	TAILQ_HEAD(, hp_subject) subjects;
	void *subjects_by_pid;		 /* tsearch(3): those that are not gone */
	TAILQ_HEAD(, hp_subject) viewed; /* that have a view; the one worked on last is the last */
	size_t n_viewed;
	TAILQ_HEAD(, hp_watcher) watchers;
	TAILQ_HEAD(, hp_family) families;

	struct {
		struct hp_status_waits asked, told; /* when the look that is under way has ended */
		bool looks;
	} status;

	struct hp_timer guard; /* armed while there are patches */
	bool guard_looks;      /* the timer's round is under way */
	uint64_t guard_round_ns; /* so long the last round took … */
	uint64_t guard_cost_ns;  /* … of which so much counts when the next is to be */
	TAILQ_HEAD(, hp_dropped) dropped;
	size_t n_dropped;

	struct hp_metrics metrics;
	uint64_t started_ns, started_wall_ns;
	bool found;    /* what a previous hpd left is known */
	unsigned searches; /* for that, which failed */
	bool fronted;  /* front is confined */
	bool stopping, ended;
	char failed[256]; /* not empty: it cannot go on, and why */
};

/* Serves until it is told to end, or has nothing left to do.  0 or a negative code. */
int hp_daemon_run(const struct hp_daemon_options *opt, struct hp_err *err);

/* What a previous hpd left is known: requests are taken from now on, so that what puts it right is the
 * first in its target's queue. */
void hp_daemon_begin(struct hp_daemon *d);

/* Of clients, as front says. */
size_t hp_daemon_conns(const struct hp_daemon *d);

/* front is there … */
void hp_daemon_fronted(struct hp_daemon *d);
/* … cannot be had … */
void hp_daemon_fail(struct hp_daemon *d, const char *why);
/* … has @n connections of the listener @id, or of the control socket (0) … */
void hp_daemon_count(struct hp_daemon *d, uint32_t id, size_t n);
/* … has ended, and all connections with it. */
void hp_daemon_uncount(struct hp_daemon *d);

/* To be called when a client, job or target went: an idle private hpd ends, a stopping one too. */
void hp_daemon_settle(struct hp_daemon *d);

/* In a fork: closes what belongs to hpd alone, so that the job holds no client, no other job, and
 * not the ring. */
void hp_daemon_forget(struct hp_daemon *d);

#endif
