/* SPDX-License-Identifier: MIT */
/*
 * daemon/job_record.h – what a job says to the monitor, over a socket that nobody else has.
 *
 * A packet is a head, the facts that the monitor goes by, an array of records of each kind, and the JSON
 * that is for whoever asked.  Head and facts are checked; the JSON, which is full of names of the
 * target's, is handed on as it is: the monitor does not read it.
 */
#ifndef HP_DAEMON_JOB_RECORD_H
#define HP_DAEMON_JOB_RECORD_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "hp/err.h"
#include "ipc/request.h"

enum hp_job_word {
	HP_WORD_STEP = 1, /* the JSON is the event */
	HP_WORD_ANSWER,	  /* the JSON is the result; also beside an error, where something was done */
};

enum hp_fact {
	HP_FACT_PATCH,	 /* of a list */
	HP_FACT_UNKNOWN, /* … a ledger that this hp cannot read */
	HP_FACT_TARGET,	 /* of the guard: one that was looked at */
	HP_FACT_SITE,	 /* … an entry that is not right, in the order of their targets */
	HP_FACT_PID,	 /* of a selection; of a list: where an agent was left */
	HP_FACTS,
};

enum hp_fact_state {
	HP_STATE_SETTLED,
	HP_STATE_RETAINED,
	HP_STATE_LOADING,
	HP_STATE_UNLOADING,
	HP_STATES,
};

#define HP_FACT_ID   72 /* a patch's, and NULs */
#define HP_FACT_TEXT 256

struct hp_fact_patch {
	int32_t pid;
	uint32_t state; /* enum hp_fact_state */
	uint64_t functions;
	char id[HP_FACT_ID];
};

struct hp_fact_unknown {
	int32_t pid;
	uint32_t pad;
	char detail[HP_FACT_TEXT];
};

struct hp_fact_target {
	int32_t pid;
	uint32_t outcome; /* enum hp_guard_outcome */
	uint64_t patches;
	uint64_t ns; /* so long it was looked at */
};

struct hp_fact_site {
	int32_t pid;
	uint32_t found; /* enum hp_guard_found */
	uint64_t addr;
	uint32_t mended;
	uint32_t pad;
	char fn[HP_FACT_TEXT];
};

struct hp_job_head {
	uint32_t word; /* enum hp_job_word */
	int32_t code;  /* of an answer: 0, or why not */
	uint32_t n[HP_FACTS];
	uint32_t n_doc;
	uint32_t retained; /* something that was unloaded stays mapped */
	uint32_t pad;
	uint64_t ns; /* how long a step took; a restart: until it was ready */
	uint64_t total_ns, quiesce_ns, gate_ns, longest_park_ns, threads_parked;
	uint64_t patches_left, functions_left;
	char id[HP_FACT_ID]; /* of a load, unload, selection */
	char step[32];
	char text[HP_ERR_TEXT_MAX]; /* of an error; what a recovery did; of a step, for the log */
};

/* One that was said; it points into what was received. */
struct hp_job_said {
	const struct hp_job_head *head;
	const struct hp_fact_patch *patch;
	const struct hp_fact_unknown *unknown;
	const struct hp_fact_target *target;
	const struct hp_fact_site *site;
	const int32_t *pid;
	const char *doc;
	size_t n_doc;
};

/* The packet at the beginning of @b, from a job of @kind.  1: it is in *ret, and *n bytes long; 0: its end
 * is to come; -HP_E_FAILED: no job that is whole says this. */
int hp_job_hear(const struct hp_buf *b, enum hp_job_kind kind, struct hp_job_said *ret, size_t *n,
		struct hp_err *err);

/* --- in the job ----------------------------------------------------------------------------------- */

struct hp_job_saying {
	struct hp_job_head head;
	struct hp_buf fact[HP_FACTS];
	json_t *doc; /* owned; NULL: none */
};

/* Room for one more record, zeroed, until the next of its kind is added; NULL: no memory. */
void *hp_job_add_fact(struct hp_job_saying *s, enum hp_fact which);
/* Says it, and frees what is in it.  0 or a negative errno. */
int hp_job_say(int sock, struct hp_job_saying *s);

#endif
