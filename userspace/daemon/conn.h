/* SPDX-License-Identifier: MIT */
/*
 * daemon/conn.h – one client: bytes in, requests up, answers down, and its time-outs.  Which
 * requests it may make, and how it is answered, its face knows.
 *
 * A connection answers one request at a time.  Whoever handles a request answers at once or keeps
 * the pointer until it answers; c->gone is called when the client leaves before that, and then the
 * pointer is dead.
 */
#ifndef HP_DAEMON_CONN_H
#define HP_DAEMON_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "front/http.h"
#include "daemon/peer.h"
#include "ipc/ring.h"

/* So much of an answer may wait for its client. */
#define HP_CONN_BACKLOG (256 * 1024)

struct hp_conn;
struct hp_listener;

/* What is spoken with a client. */
struct hp_face {
	/* Answers the request in c->http, now or later. */
	void (*handle)(struct hp_conn *c);
	/* Answers what is no request. */
	void (*refuse)(struct hp_conn *c, int status, const char *text);
};

/* What is spoken instead of HTTP, after CONNECT. */
struct hp_tongue {
	/* Takes what is complete of @data: how many bytes; may answer, or set c->busy until it does. */
	size_t (*take)(struct hp_conn *c, const char *data, size_t n);
	size_t max; /* a message may be so long */
	void (*free)(void *state);
};

struct hp_conn {
	TAILQ_ENTRY(hp_conn) link;
	struct hp_daemon *d;
	const struct hp_face *face;
	struct hp_listener *from; /* NULL: the control socket */
	const struct hp_tongue *tongue;
	void *tongue_state;
	int fd;
	struct hp_peer peer;
	struct hp_http http;

	struct hp_ring_op recv, send;
	struct hp_timer timer;
	struct hp_buf in;	 /* not yet looked at */
	struct hp_buf out, wire; /* waiting; being sent */
	size_t wire_sent;

	bool pumping;  /* requests are being taken from c->in, further up the stack */
	bool busy;     /* a request is being handled */
	bool stream;   /* its answer is chunked lines */
	bool last;     /* close when the answer is out */
	bool eof;      /* the client sends no more */
	bool closing;  /* in d->dying: freed when the ring is done with it */
	unsigned lost; /* lines of the stream not sent */

	void (*gone)(struct hp_conn *c); /* while busy */
	void *owner;
};

/* Takes @fd, of which @peer is the other end. */
void hp_conn_open(struct hp_daemon *d, int fd, const struct hp_face *face,
		  const struct hp_peer *peer, struct hp_listener *from);
/* Cuts it off; the memory stays until hp_conn_sweep(). */
void hp_conn_close(struct hp_conn *c);
/* The same, for want of memory. */
void hp_conn_no_memory(struct hp_conn *c);
/* Closes it when nothing is to be answered, or after that. */
void hp_conn_finish(struct hp_conn *c);
/* Frees closed connections; called when nobody up the stack holds one. */
void hp_conn_sweep(struct hp_daemon *d);
/* Frees all, when there is no ring any more. */
void hp_conn_free_all(struct hp_daemon *d);

/* Whether another request may come after this one. */
bool hp_conn_keeps(const struct hp_conn *c);
/* The answer was put into c->out whole. */
void hp_conn_answered(struct hp_conn *c);
/* A part of it was. */
void hp_conn_flush(struct hp_conn *c);
/* From now on @tongue is spoken; @state is taken.  The answer to CONNECT follows. */
void hp_conn_switch(struct hp_conn *c, const struct hp_tongue *tongue, void *state);

#endif
