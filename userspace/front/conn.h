/* SPDX-License-Identifier: MIT */
/*
 * front/conn.h – one client: bytes in, requests up, answers down, and its time-outs.  Which
 * requests it may make, and how it is answered, its face knows.
 *
 * A connection answers one request at a time.  A request is answered at once, or the monitor is asked
 * (c->asked), whose answer goes to the face.  When the client leaves before that the monitor is told.
 */
#ifndef HP_FRONT_CONN_H
#define HP_FRONT_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "front/http.h"
#include "ipc/ring.h"

/* So much of an answer may wait for its client. */
#define HP_CONN_BACKLOG (256 * 1024)

struct hp_conn;
struct hp_entrance;
struct hp_frontend;
struct hp_tell_head;

/* What is spoken with a client. */
struct hp_face {
	/* Answers the request in c->http, now or later. */
	void (*handle)(struct hp_conn *c);
	/* Answers what is no request. */
	void (*refuse)(struct hp_conn *c, int status, const char *text);
	/* What the monitor said, whole: @text, with a NUL behind it. */
	void (*answer)(struct hp_conn *c, const struct hp_tell_head *head, const char *text, size_t n);
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
	struct hp_frontend *f;
	uint64_t id;
	const struct hp_face *face;
	struct hp_entrance *entrance;
	const struct hp_tongue *tongue;
	void *tongue_state;
	int fd;
	struct hp_http http;

	struct hp_ring_op recv, send;
	struct hp_timer timer;
	struct hp_buf in;	 /* not yet looked at */
	struct hp_buf told;	 /* parts of what the monitor says */
	struct hp_buf out, wire; /* waiting; being sent */
	size_t wire_sent;
	uint64_t wire_since_ns;

	bool pumping;  /* requests are being taken from c->in, further up the stack */
	bool busy;     /* a request is being handled */
	bool asked;    /* … by the monitor */
	bool stream;   /* its answer is chunked lines */
	bool last;     /* close when the answer is out */
	bool eof;      /* the client sends no more */
	bool closing;  /* in f->dying: freed when the ring is done with it */
	unsigned lost; /* lines of the stream not sent */

	/* Of hotgo's face: */
	int asked_for;
	char bearer[HP_HTTP_BEARER_MAX + 1];
	char *file; /* of a load; owned */
};

/* Takes @fd, which was accepted at @e. */
void hp_conn_open(struct hp_entrance *e, int fd, const struct hp_face *face);
/* A message of the monitor's for it. */
void hp_conn_told(struct hp_conn *c, const struct hp_tell_head *head, const char *bytes, size_t n);
/* Cuts it off; the memory stays until hp_conn_sweep(). */
void hp_conn_close(struct hp_conn *c);
/* The same, for want of memory. */
void hp_conn_no_memory(struct hp_conn *c);
/* Closes it when nothing is to be answered, or after that. */
void hp_conn_finish(struct hp_conn *c);
/* Frees closed connections; called when nobody up the stack holds one. */
void hp_conn_sweep(struct hp_frontend *f);

/* Whether another request may come after this one. */
bool hp_conn_keeps(const struct hp_conn *c);
/* The answer was put into c->out whole. */
void hp_conn_answered(struct hp_conn *c);
/* A part of it was. */
void hp_conn_flush(struct hp_conn *c);
/* From now on @tongue is spoken; @state is taken.  The answer to CONNECT follows. */
void hp_conn_switch(struct hp_conn *c, const struct hp_tongue *tongue, void *state);

#endif
