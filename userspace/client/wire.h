/* SPDX-License-Identifier: MIT */
/* client/wire.h – HTTP/1.1 to hpd over its unix socket: one request, and its answer or its stream. */
#ifndef HP_CLIENT_WIRE_H
#define HP_CLIENT_WIRE_H

#include <http_parser.h>
#include <jansson.h>
#include <stdbool.h>

struct hp_err;

struct hp_call {
	const char *method, *path;
	const json_t *body; /* or NULL */
	bool stream;	    /* ask for events as they happen */
	/* Each line of a stream that is neither result nor error; may be NULL. */
	void (*line)(void *arg, const json_t *line);
	/* Ten times a second while nothing comes; may be NULL. */
	void (*tick)(void *arg);
	/* It is over, and nothing of the answer was told yet: called by who tells it, not here; may
	 * be NULL. */
	void (*ended)(void *arg);
	void *arg;
};

/* A negative errno. */
int hp_wire_connect(const char *path, int *ret_fd);

/* 0: *answer is the result, or {"error":…} ("result" is in it too where something was done all the
 * same); NULL at the end of a stream without either.  The caller frees it.  Else
 * -HP_E_UNREACHABLE: hpd went away. */
int hp_wire_call(int fd, const struct hp_call *call, json_t **answer, struct hp_err *err);

/* The code in {"error":…}, with its sentence in @err; 0 when @answer is none. */
int hp_wire_error(const json_t *answer, struct hp_err *err);

/* --- for who cannot wait: hp_wire_call() in pieces ------------------------------------------------- */

/* An answer on its way. */
struct hp_answer {
	const struct hp_call *call;
	http_parser parser;
	char *body;
	size_t n, room;
	bool lines; /* the body is a stream of lines */
	bool type;  /* the header being read is Content-Type */
	bool done;
	json_t *answer;
	int error;
};

/* Sends the request; @a refers to itself and to @call from then on.  A negative errno. */
int hp_answer_begin(struct hp_answer *a, int fd, const struct hp_call *call);
/* Reads what is there, once, and waits for nothing.  0, and a->done when a->answer is whole; or a
 * negative errno: -ECONNRESET when hpd has closed its end. */
int hp_answer_read(struct hp_answer *a, int fd);
void hp_answer_free(struct hp_answer *a);

#endif
