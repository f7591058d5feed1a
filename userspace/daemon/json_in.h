/* SPDX-License-Identifier: MIT */
/* daemon/json_in.h – bodies of requests: every field checked, unknown ones refused by name. */
#ifndef HP_DAEMON_JSON_IN_H
#define HP_DAEMON_JSON_IN_H

#include <stddef.h>

#include "daemon/job.h"

/* -HP_E_BAD_REQUEST names the field.  @ret keeps the document: hp_job_request_free(). */
int hp_json_request(struct hp_job_request *ret, enum hp_job_kind kind, const char *body, size_t n,
		    struct hp_err *err);

/* The same of a document, which is taken. */
int hp_json_request_of(struct hp_job_request *ret, enum hp_job_kind kind, json_t *doc,
		       struct hp_err *err);

/* A process id as a query gives it. */
int hp_json_pid(const char *text, pid_t *ret, struct hp_err *err);

#endif
