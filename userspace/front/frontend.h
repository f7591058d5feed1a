/* SPDX-License-Identifier: MIT */
/*
 * front/frontend.h – hpd-front: the process that reads what strangers send.
 *
 * It has the listening sockets, their connections and a ring, and turns bytes into requests and answers
 * into bytes.  What a request means it does not know: that the monitor does, at the other end of a socket
 * (ipc/record.h).  It has no right to anything (base/confine.h).
 */
#ifndef HP_FRONT_FRONTEND_H
#define HP_FRONT_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "front/port.h"
#include "ipc/record.h"
#include "ipc/ring.h"

struct hp_conn;
struct hp_err;
struct hp_job_request;

/* A listening socket. */
struct hp_entrance {
	TAILQ_ENTRY(hp_entrance) link;
	struct hp_frontend *f;
	struct hp_port port;
	uint32_t id; /* what the monitor calls it; 0: the control socket */
	size_t n_conns;
	bool closing; /* freed when the ring and the last connection are done with it */
};

struct hp_frontend {
	struct hp_ring *ring;
	int sock; /* to the monitor */
	struct hp_ring_op heard;
	uint64_t client_timeout_ns; /* for a request to be complete */
	uint64_t answers_max;	    /* bytes that clients have not taken */
	TAILQ_HEAD(hp_conns, hp_conn) conns, dying;
	TAILQ_HEAD(, hp_entrance) entrances;
	uint64_t last_conn; /* number given */
	bool stopping, ended;
};

/* Lives until the monitor ends, or says so. */
int hp_frontend_run(int sock, struct hp_err *err);

/* --- what the monitor is told (monitor.c).  It is there, or we are not. */

/* @rec of the client of @c, with what @r says (NULL: no job).  The answer comes by c->entrance's
 * face; -HP_E_BAD_REQUEST when the request cannot be said. */
int hp_monitor_ask(struct hp_conn *c, struct hp_record *rec, const struct hp_job_request *r,
		   struct hp_err *err);
/* A request of no client's. */
void hp_monitor_say(struct hp_frontend *f, const struct hp_record *rec);
/* Lines of the log go to the monitor from now on. */
void hp_monitor_log(struct hp_frontend *f);
/* What it says: one message.  1; 0: there is none; negative: it is gone. */
int hp_monitor_hear(struct hp_frontend *f);

/* --- what the monitor says (frontend.c) */
/* @fd is taken; -1: it did not come along. */
void hp_frontend_listen(struct hp_frontend *f, uint32_t id, int fd);
void hp_frontend_unlisten(struct hp_frontend *f, uint32_t id);
void hp_frontend_stop(struct hp_frontend *f);
/* The one that waits for an answer; NULL: it has left. */
struct hp_conn *hp_frontend_find(struct hp_frontend *f, uint64_t conn);
/* The number of an entrance's connections has changed. */
void hp_frontend_count(struct hp_entrance *e);

#endif
