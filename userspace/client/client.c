/* SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/defaults.h"
#include "base/fd.h"
#include "client/wire.h"

int hp_client_connect(const struct hp_client *c, int *ret_fd, struct hp_err *err)
{
	int k = hp_wire_connect(c->socket, ret_fd);

	if (k == -EACCES || k == -EPERM)
		return hp_err_set(err, -HP_E_DENIED, "%s: %s", c->socket, strerror(-k));
	if (k < 0)
		return hp_err_set(err, -HP_E_UNREACHABLE, "no hpd serves %s: %s", c->socket,
				  strerror(-k));
	return 0;
}

int hp_client_request(const struct hp_client *c, const char *method, const char *path, json_t *body,
		      json_t **answer, struct hp_err *err)
{
	const struct hp_call call = {.method = method, .path = path, .body = body};
	hp_autoclose int fd = -1;
	json_t *got = NULL;
	int k = hp_client_connect(c, &fd, err);

	if (k == 0)
		k = hp_wire_call(fd, &call, &got, err);
	json_decref(body);
	if (k == 0 && !got)
		k = hp_err_set(err, -HP_E_UNREACHABLE, "%s: hpd answered nothing", path);
	if (k == 0)
		k = hp_wire_error(got, err);
	if (k < 0) {
		json_decref(got);
		return k;
	}
	*answer = got;
	return 0;
}

int hp_client_open(struct hp_client **ret, const char *socket, struct hp_err *err)
{
	const char *named = socket ? socket : secure_getenv("HP_SOCKET");
	struct hp_client *c = calloc(1, sizeof(*c));
	json_t *health;
	int k = 0;

	if (c)
		c->socket = strdup(named && *named ? named : HP_DEFAULT_SOCKET);
	if (!c || !c->socket)
		k = hp_err_set(err, -ENOMEM, "no memory");
	if (k == 0)
		k = hp_client_request(c, "GET", "/hp/v2/health", NULL, &health, err);
	if (k < 0) {
		hp_client_free(c);
		return k;
	}
	json_decref(health);
	*ret = c;
	return 0;
}

void hp_client_free(struct hp_client *c)
{
	if (!c)
		return;
	free(c->socket);
	free(c);
}

int hp_client_ask(struct hp_client *c, const char *method, const char *path, const char *body,
		  char **ret_json, struct hp_err *err)
{
	json_t *doc = NULL, *answer;
	json_error_t at;
	char *text;
	int k;

	if (body) {
		doc = json_loads(body, 0, &at);
		if (!doc)
			return hp_err_set(err, -HP_E_BAD_REQUEST, "the body is no JSON: %s", at.text);
	}
	k = hp_client_request(c, method, path, doc, &answer, err);
	if (k < 0)
		return k;
	text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!text)
		return hp_err_set(err, -ENOMEM, "no memory");
	*ret_json = text;
	return 0;
}

/* --- documents ------------------------------------------------------------------------------------ */

static int set(json_t *body, const char *name, json_t *value, const char *what, struct hp_err *err)
{
	if (value && json_object_set_new(body, name, value) == 0)
		return 0;
	return hp_err_set(err, -HP_E_BAD_REQUEST, "%s %s", name, what);
}

int hp_body_text(json_t *body, const char *name, const char *value, struct hp_err *err)
{
	return value ? set(body, name, json_string(value), "is no UTF-8", err) : 0;
}

int hp_body_number(json_t *body, const char *name, json_int_t value, struct hp_err *err)
{
	return value ? set(body, name, json_integer(value), "needs memory", err) : 0;
}

int hp_body_flag(json_t *body, const char *name, bool value, struct hp_err *err)
{
	return value ? set(body, name, json_true(), "needs memory", err) : 0;
}

const char *hp_answer_text(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name)) ?: "";
}

json_int_t hp_answer_number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}
