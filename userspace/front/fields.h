/* SPDX-License-Identifier: MIT */
/*
 * front/fields.h – what a JSON object may hold, as a table: from it come the checks, the sentence for
 * each mistake, and the refusal of fields that nobody knows (a misspelt option must not be ignored by
 * what changes a running program).
 */
#ifndef HP_FRONT_FIELDS_H
#define HP_FRONT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ipc/request.h"

#define HP_PID_LIMIT (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels (linux/threads.h) */

enum hp_field_type {
	HP_FIELD_PID,	 /* pid_t */
	HP_FIELD_PIDS,	 /* the request's pids */
	HP_FIELD_TEXT,	 /* const char *, which the request keeps */
	HP_FIELD_PATH,	 /* likewise; absolute */
	HP_FIELD_FLAG,	 /* bool */
	HP_FIELD_SPAN,	 /* uint64_t, ns; in the JSON ms */
	HP_FIELD_CHOICE, /* int, or an enum of that size: the index in choices */
	HP_FIELD_PAIRS,	 /* struct hp_pairs */
	HP_FIELD_TEXTS,	 /* the request's fns: none is empty */
	HP_FIELD_WORDS,	 /* likewise; only the first may not be empty */
};

struct hp_field {
	const char *name;
	enum hp_field_type type;
	void *to; /* NULL: it is the request's, see the type */
	bool needed;
	const char *const *choices; /* NULL at the end */
};

/* Reads @doc, an object, by @fields.  -HP_E_BAD_REQUEST names the field; what was read by then is
 * @r's, which the caller frees. */
int hp_fields_read(struct hp_job_request *r, json_t *doc, const struct hp_field *fields, size_t n,
		   struct hp_err *err);

#endif
