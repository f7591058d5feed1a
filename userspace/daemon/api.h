/* SPDX-License-Identifier: MIT */
/* daemon/api.h – what can be asked: the table of routes is in api.c. */
#ifndef HP_DAEMON_API_H
#define HP_DAEMON_API_H

#include <jansson.h>

#include "daemon/conn.h"

/* For connections of the control socket. */
extern const struct hp_face hp_api_face;

/* "GET" or "POST": what @path takes, for the header Allow; NULL when there is no such path. */
const char *hp_api_allowed(const char *path);

/* {"result":…} or {"error":…} to one whose request was kept until now. */
void hp_api_answer(struct hp_conn *c, const json_t *answer);

/* The HTTP status for a code as returned. */
int hp_api_http_status(int code);

#endif
