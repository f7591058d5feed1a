/* SPDX-License-Identifier: MIT */
/* cli/client.h – HTTP/1.1 to hpd over its unix socket. */
#ifndef HP_CLI_CLIENT_H
#define HP_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"

struct hp_err;

struct hp_client {
	int fd;
};

/* Connects and shakes hands; starts a private hpd when nobody listens and @cli allows it.
 * -HP_E_UNREACHABLE or -HP_E_DENIED. */
int hp_client_open(struct hp_client *ret, const struct hp_cli *cli, struct hp_err *err);
void hp_client_close(struct hp_client *c);

struct hp_call {
	const char *method, *path;
	const json_t *body; /* or NULL */
	bool stream;	    /* ask for events as they happen */
	/* Each line of a stream that is neither result nor error; may be NULL. */
	void (*line)(void *arg, const json_t *line);
	/* Ten times a second while nothing comes; may be NULL. */
	void (*tick)(void *arg);
	/* The answer is there, and nothing of it was told yet; may be NULL. */
	void (*ended)(void *arg);
	void *arg;
};

/* 0: *answer is the result, or {"error":…}; NULL at the end of a stream without either.  The caller
 * frees it.  Else -HP_E_UNREACHABLE: hpd went away. */
int hp_client_call(struct hp_client *c, const struct hp_call *call, json_t **answer,
		   struct hp_err *err);

#endif
