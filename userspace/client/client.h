/* SPDX-License-Identifier: MIT */
/* client/client.h – what the parts of libhp share. */
#ifndef HP_CLIENT_CLIENT_H
#define HP_CLIENT_CLIENT_H

#include <jansson.h>

#include "hp/hp.h"

struct hp_client {
	char *socket;
};

int hp_client_connect(const struct hp_client *c, int *ret_fd, struct hp_err *err);

/* One request on a connection of its own.  @body is taken.  0: *answer is a result, for the caller
 * to free; else hpd's error, or that it is out of reach. */
int hp_client_request(const struct hp_client *c, const char *method, const char *path, json_t *body,
		      json_t **answer, struct hp_err *err);

/* --- bodies: a member that is 0 or NULL is left out.  Negative: no memory, or no UTF-8. */
int hp_body_text(json_t *body, const char *name, const char *value, struct hp_err *err);
int hp_body_number(json_t *body, const char *name, json_int_t value, struct hp_err *err);
int hp_body_flag(json_t *body, const char *name, bool value, struct hp_err *err);

/* Members of an answer; "" and 0 when they are not there. */
const char *hp_answer_text(const json_t *o, const char *name);
json_int_t hp_answer_number(const json_t *o, const char *name);

#endif
