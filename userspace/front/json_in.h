/* SPDX-License-Identifier: MIT */
/* front/json_in.h – bodies of requests: every field checked, unknown ones refused by name. */
#ifndef HP_FRONT_JSON_IN_H
#define HP_FRONT_JSON_IN_H

#include <stddef.h>

#include "ipc/request.h"

/* -HP_E_BAD_REQUEST names the field. */
int hp_json_request(struct hp_job_request *ret, enum hp_job_kind kind, const char *body, size_t n,
		    struct hp_err *err);

/* What hpctl serve asks: HP_ASK_SERVE. */
struct hp_record;
int hp_json_serve(struct hp_record *ret, const char *body, size_t n, struct hp_err *err);
/* … and --stop: HP_ASK_UNSERVE. */
int hp_json_unserve(struct hp_record *ret, const char *body, size_t n, struct hp_err *err);

/* A process id as a query gives it. */
int hp_json_pid(const char *text, pid_t *ret, struct hp_err *err);

#endif
