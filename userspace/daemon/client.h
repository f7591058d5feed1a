/* SPDX-License-Identifier: MIT */
/*
 * daemon/client.h – a client that waits for an answer; front has its connection.
 *
 * Whoever handles a request answers at once or keeps the pointer until it answers; c->gone is called
 * when the client leaves before that.  With its answer, or the last line of it, the client is gone too:
 * the pointer is dead then.
 */
#ifndef HP_DAEMON_CLIENT_H
#define HP_DAEMON_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "access/peer.h"
#include "base/buf.h"
#include "daemon/job_record.h"

struct hp_daemon;
struct hp_err;
struct hp_serve;

struct hp_client {
	TAILQ_ENTRY(hp_client) link;
	struct hp_daemon *d;
	uint64_t conn;
	struct hp_peer peer;
	struct hp_serve *from; /* NULL: the control socket */
	const char *asks;	  /* for what: for the log */
	bool ndjson;		  /* takes lines … */
	bool stream;		  /* … and gets them */
	void (*gone)(struct hp_client *c);
	void *owner;
};

struct hp_client *hp_client_find(struct hp_daemon *d, uint64_t conn);
/* With the peer of @sock, a connection that front has accepted; @from: of whose listener.
 * -HP_E_DENIED: front lies; else what the client, or hpd, lacks. */
int hp_client_new(struct hp_daemon *d, uint64_t conn, int sock, struct hp_serve *from,
		  struct hp_client **ret, struct hp_err *err);
/* Answers a connection that could not be made a client, and takes no more from it. */
void hp_client_refuse(struct hp_daemon *d, uint64_t conn, const struct hp_err *why);
/* It does not wait any more. */
void hp_client_leave(struct hp_client *c);
/* None does. */
void hp_clients_leave(struct hp_daemon *d);

/* One JSON document; @doc is taken (NULL: no memory to make one). */
void hp_client_reply(struct hp_client *c, json_t *doc);
void hp_client_reply_error(struct hp_client *c, int code, const char *text);
/* A refusal of what it asks, about process @pid (0: none); logged. */
void hp_client_deny(struct hp_client *c, pid_t pid, int code, const char *text);
/* … and nothing more is taken from it; @status: of HTTP, or 0; logged too. */
void hp_client_turn_away(struct hp_client *c, int code, unsigned status, const char *text);
/* HP_METRICS_TYPE. */
void hp_client_reply_metrics(struct hp_client *c, const struct hp_buf *text);
/* What a job said, borrowed. */
void hp_client_answer(struct hp_client *c, const struct hp_job_said *said);

/* A stream of lines, JSON without their ends.  A client too slow loses some, but never the last one
 * (NULL: none). */
void hp_client_stream(struct hp_client *c);
void hp_client_line(struct hp_client *c, const char *line, size_t n);
void hp_client_end(struct hp_client *c, const struct hp_job_said *last);

#endif
