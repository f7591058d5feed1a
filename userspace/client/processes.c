/* SPDX-License-Identifier: MIT */
#include "base/abi.h"
#include "client/client.h"

/* --- restart -------------------------------------------------------------------------------------- */

static int set_command(json_t *body, const char *const *command, struct hp_err *err)
{
	json_t *words;

	if (!command)
		return 0;
	words = json_array();
	for (size_t i = 0; command[i]; i++)
		if (json_array_append_new(words, json_string(command[i])) < 0) {
			json_decref(words);
			return hp_err_set(err, -HP_E_BAD_REQUEST, "command: word %zu is no UTF-8", i);
		}
	return json_object_set_new(body, "command", words) < 0
		       ? hp_err_set(err, -HP_E_BAD_REQUEST, "command needs memory")
		       : 0;
}

static int restart_body(json_t *body, const struct hp_client_restart *r, struct hp_err *err)
{
	int k = hp_body_number(body, "pid", r->pid, err);

	if (k == 0)
		k = set_command(body, r->command, err);
	if (k == 0)
		k = hp_body_text(body, "drain", r->drain, err);
	if (k == 0)
		k = hp_body_number(body, "ready_timeout_ms", r->ready_timeout_ms, err);
	if (k == 0)
		k = hp_body_number(body, "drain_timeout_ms", r->drain_timeout_ms, err);
	if (k == 0)
		k = hp_body_text(body, "pidfile", r->pidfile, err);
	if (k == 0)
		k = hp_body_flag(body, "allow_new_binds", r->allow_new_binds, err);
	if (k == 0)
		k = hp_body_flag(body, "no_residue", r->no_residue, err);
	if (k == 0)
		k = hp_body_flag(body, "wait", r->wait, err);
	return k;
}

int hp_client_restart(struct hp_client *c, const struct hp_client_restart *restart,
		      struct hp_client_restarted *ret, struct hp_err *err)
{
	struct hp_client_restart r;
	json_t *body = NULL, *a = NULL;
	int k = hp_abi_copy(&r, sizeof(r), restart, "restart", err);

	if (k < 0)
		return k;
	body = json_object();
	k = restart_body(body, &r, err);
	if (k < 0) {
		json_decref(body);
		return k;
	}
	k = hp_client_request(c, "POST", "/hp/v2/restart", body, &a, err);
	if (k < 0)
		return k;
	if (ret) {
		ret->pid = (pid_t)hp_answer_number(a, "pid");
		ret->generation = (unsigned)hp_answer_number(a, "generation");
		ret->ready_ns = (uint64_t)hp_answer_number(a, "ready_ns");
	}
	json_decref(a);
	return 0;
}

/* --- hotgo's servers ------------------------------------------------------------------------------ */

int hp_client_http_server(struct hp_client *c, pid_t pid, const char *address, struct hp_err *err)
{
	json_t *body = json_object(), *answer;
	int k = hp_body_number(body, "pid", pid, err);

	if (k == 0)
		k = hp_body_text(body, "http", address, err);
	if (k < 0) {
		json_decref(body);
		return k;
	}
	k = hp_client_request(c, "POST", "/hp/v2/serve", body, &answer, err);
	if (k == 0)
		json_decref(answer);
	return k;
}

int hp_client_rpc_server(struct hp_client *c, pid_t pid, const char *address, struct hp_err *err)
{
	return hp_client_http_server(c, pid, address, err); /* CONNECT is all the difference */
}
