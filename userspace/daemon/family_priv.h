/* SPDX-License-Identifier: MIT */
/* daemon/family_priv.h – what family.c and family_tell.c share. */
#ifndef HP_DAEMON_FAMILY_PRIV_H
#define HP_DAEMON_FAMILY_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/buf.h"
#include "daemon/client.h"
#include "daemon/family.h"
#include "daemon/job.h"
#include "hp/err.h"

enum hp_family_outcome {
	HP_MEMBER_WAITING,
	HP_MEMBER_RUNNING,
	HP_MEMBER_DONE,	   /* loaded, unloaded */
	HP_MEMBER_ALREADY, /* it was so before: loaded, not loaded */
	HP_MEMBER_GONE,	   /* ended meanwhile */
	HP_MEMBER_FAILED,
	HP_MEMBER_LEFT,	  /* not begun, because others failed */
	HP_MEMBER_UNDONE, /* loaded, and unloaded again because others failed */
	HP_MEMBER_STUCK,  /* … which failed */
	HP_MEMBER_OUTCOMES,
};

struct hp_member {
	TAILQ_ENTRY(hp_member) link, waiting;
	struct hp_family *f;
	pid_t pid;
	char comm[17];
	bool named; /* by its pid: it must be there */
	enum hp_family_outcome outcome;
	/* What its job said. */
	int code;
	char *text; /* of an error */
	struct hp_buf result;
	bool retained;
};

struct hp_family {
	TAILQ_ENTRY(hp_family) link;
	struct hp_daemon *d;
	struct hp_client *c; /* NULL: it left */
	struct hp_peer peer;
	enum hp_job_kind kind;
	struct hp_job_request req;
	char id[HP_ID_LEN + 1];
	pid_t *named; /* the request's, in order of their numbers; NULL: none */

	TAILQ_HEAD(hp_members, hp_member) members, waiting;
	void *by_pid; /* tsearch(3) */
	size_t n, answered, count[HP_MEMBER_OUTCOMES];
	unsigned running, rounds;
	bool worked;	/* in this round */
	bool looked;	/* no selection is under way */
	bool restless;	/* there may be processes that were not found */
	bool undoing, in_turn;
	struct hp_err failure; /* of the first selection: the answer; code 0: none */
};

/* All of it, to the client, which is there. */
void hp_family_answer(const struct hp_family *f);
/* What became of @m, to a client that wants to know. */
void hp_family_tell(struct hp_family *f, const struct hp_member *m);

#endif
