/* SPDX-License-Identifier: MIT */
/*
 * daemon/conn.h – one client: bytes in, requests up, answers down, and its time-outs.
 *
 * A connection answers one request at a time.  Whoever handles a request answers at once or keeps
 * the pointer until it answers; c->gone is called when the client leaves before that, and then the
 * pointer is dead.
 */
#ifndef HP_DAEMON_CONN_H
#define HP_DAEMON_CONN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "daemon/http.h"
#include "daemon/peer.h"
#include "daemon/ring.h"

/* A stream whose client takes nothing while so much waits loses lines (and is told how many). */
#define HP_CONN_BACKLOG (256 * 1024)

struct hp_conn {
	TAILQ_ENTRY(hp_conn) link;
	struct hp_daemon *d;
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

/* Takes @fd.  Calls hp_api_handle() for every request. */
void hp_conn_open(struct hp_daemon *d, int fd);
/* Cuts it off; the memory stays until hp_conn_sweep(). */
void hp_conn_close(struct hp_conn *c);
/* Frees closed connections; called when nobody up the stack holds one. */
void hp_conn_sweep(struct hp_daemon *d);
/* Frees all, when there is no ring any more. */
void hp_conn_free_all(struct hp_daemon *d);

/* One JSON document; @doc is taken (NULL: no memory to make one). */
void hp_conn_reply(struct hp_conn *c, int status, json_t *doc);
/* The document of an error, with the HTTP status that goes with @code. */
void hp_conn_reply_error(struct hp_conn *c, int code, const char *text);

/* A stream of lines.  A line is not taken, so that many may get the same. */
void hp_conn_stream_begin(struct hp_conn *c);
void hp_conn_stream_line(struct hp_conn *c, const json_t *doc);
void hp_conn_stream_end(struct hp_conn *c);
/* The last line, which is never lost, and the end. */
void hp_conn_stream_answer(struct hp_conn *c, const json_t *doc);

#endif
