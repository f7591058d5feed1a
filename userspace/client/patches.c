/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "client/client.h"

/* --- requests ------------------------------------------------------------------------------------- */

static int set_map(json_t *body, const char *name, const struct hp_name *v, size_t n,
		   struct hp_err *err)
{
	json_t *map;

	if (!n)
		return 0;
	map = json_object();
	for (size_t i = 0; i < n; i++)
		if (!v[i].name || !v[i].symbol ||
		    json_object_set_new(map, v[i].name, json_string(v[i].symbol)) < 0) {
			json_decref(map);
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "%s: element %zu is not two names in UTF-8", name, i);
		}
	return json_object_set_new(body, name, map) < 0
		       ? hp_err_set(err, -HP_E_BAD_REQUEST, "%s needs memory", name)
		       : 0;
}

static int set_config(json_t *body, const struct hp_config *c, struct hp_err *err)
{
	int k = hp_body_text(body, "file", c->hp_file, err);

	if (k == 0)
		k = set_map(body, "replace", c->replace, c->n_replace, err);
	if (k == 0)
		k = set_map(body, "ref", c->ref, c->n_ref, err);
	return k;
}

/* What load and unload have in common. */
static int set_common(json_t *body, pid_t pid, const char *quiesce, unsigned timeout_ms,
		      unsigned park_ms, struct hp_err *err)
{
	int k = hp_body_number(body, "pid", pid, err);

	if (k == 0)
		k = hp_body_text(body, "quiesce", quiesce, err);
	if (k == 0)
		k = hp_body_number(body, "timeout_ms", timeout_ms, err);
	if (k == 0)
		k = hp_body_number(body, "park_ms", park_ms, err);
	return k;
}

static int load_body(const struct hp_client_load *theirs, json_t **ret, struct hp_err *err)
{
	struct hp_client_load l;
	json_t *body;
	int k = hp_abi_copy(&l, sizeof(l), theirs, "load", err);

	if (k < 0)
		return k;
	body = json_object();
	k = set_common(body, l.pid, l.quiesce, l.timeout_ms, l.park_ms, err);
	if (k == 0)
		k = set_config(body, &l.config, err);
	if (k == 0)
		k = hp_body_text(body, "mode", l.mode, err);
	if (k == 0)
		k = hp_body_flag(body, "no_stop", l.no_stop, err);
	if (k < 0)
		json_decref(body);
	else
		*ret = body;
	return k;
}

/* --- load, check, unload ------------------------------------------------------------------------ */

static void take_id(char to[HP_ID_SIZE], const char *id)
{
	snprintf(to, HP_ID_SIZE, "%s", id);
}

/* hotgo's LoadHP() tells the id of what is loaded already; hpd's sentence has it. */
static void take_id_of(char to[HP_ID_SIZE], const char *sentence)
{
	static const char digits[] = "0123456789abcdef";

	for (; *sentence; sentence++)
		if (strspn(sentence, digits) == HP_ID_SIZE - 1) {
			snprintf(to, HP_ID_SIZE, "%.*s", HP_ID_SIZE - 1, sentence);
			return;
		}
}

int hp_client_load(struct hp_client *c, const struct hp_client_load *load,
		   struct hp_client_loaded *ret, struct hp_err *err)
{
	struct hp_err own;
	json_t *body = NULL, *a = NULL;
	int k;

	if (!err)
		err = &own;
	k = load_body(load, &body, err);
	if (k == 0)
		k = hp_client_request(c, "POST", "/hp/v2/load", body, &a, err);
	if (k == -HP_E_ALREADY && ret) {
		*ret = (struct hp_client_loaded){.hp_id = ""};
		take_id_of(ret->hp_id, err->text);
	}
	if (k < 0)
		return k;
	if (ret) {
		take_id(ret->hp_id, hp_answer_text(a, "hp_id"));
		ret->total_ns = (uint64_t)hp_answer_number(a, "total_ns");
		ret->gate_ns = (uint64_t)hp_answer_number(a, "gate_ns");
		ret->longest_park_ns = (uint64_t)hp_answer_number(a, "longest_park_ns");
		ret->on_old_code = (unsigned)hp_answer_number(a, "on_old_code");
	}
	json_decref(a);
	return 0;
}

int hp_client_check(struct hp_client *c, const struct hp_client_load *load, char **ret_json,
		    struct hp_err *err)
{
	json_t *body = NULL, *a = NULL;
	char *text;
	int k = load_body(load, &body, err);

	if (k == 0)
		k = hp_client_request(c, "POST", "/hp/v2/check", body, &a, err);
	if (k < 0)
		return k;
	text = json_dumps(a, JSON_COMPACT);
	json_decref(a);
	if (!text)
		return hp_err_set(err, -ENOMEM, "no memory");
	*ret_json = text;
	return 0;
}

int hp_client_unload(struct hp_client *c, const struct hp_client_unload *unload,
		     struct hp_client_unloaded *ret, struct hp_err *err)
{
	struct hp_client_unload u;
	json_t *body = NULL, *a = NULL;
	int k = hp_abi_copy(&u, sizeof(u), unload, "unload", err);

	if (k < 0)
		return k;
	body = json_object();
	k = set_common(body, u.pid, u.quiesce, u.timeout_ms, u.park_ms, err);
	if (k == 0)
		k = hp_body_text(body, "id", u.hp_id, err);
	if (k == 0)
		k = hp_body_flag(body, "discard", u.discard, err);
	if (k < 0) {
		json_decref(body);
		return k;
	}
	k = hp_client_request(c, "POST", "/hp/v2/unload", body, &a, err);
	if (k < 0)
		return k;
	if (ret) {
		take_id(ret->hp_id, hp_answer_text(a, "hp_id"));
		ret->total_ns = (uint64_t)hp_answer_number(a, "total_ns");
		ret->gate_ns = (uint64_t)hp_answer_number(a, "gate_ns");
		ret->retained = json_is_true(json_object_get(a, "retained"));
	}
	json_decref(a);
	return 0;
}

/* --- info ----------------------------------------------------------------------------------------- */

/* All strings are the document's; besides it there are two blocks, of patches and of names. */
struct memory {
	json_t *answer;
	struct hp_name *names;
};

static size_t count_names(const json_t *list)
{
	size_t i, n = 0;
	json_t *p;

	json_array_foreach (list, i, p)
		n += json_object_size(json_object_get(p, "replace")) +
		     json_object_size(json_object_get(p, "ref"));
	return n;
}

static const struct hp_name *take_map(const json_t *p, const char *name, struct hp_name **at,
				      size_t *ret_n)
{
	struct hp_name *first = *at;
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(p, name), key, value)
		*(*at)++ = (struct hp_name){key, json_string_value(value) ?: ""};
	*ret_n = (size_t)(*at - first);
	return *ret_n ? first : NULL;
}

static void take_patch(struct hp_client_patch *to, const json_t *p, struct hp_name **names)
{
	take_id(to->hp_id, hp_answer_text(p, "hp_id"));
	to->config.hp_file = hp_answer_text(p, "file");
	to->config.replace = take_map(p, "replace", names, &to->config.n_replace);
	to->config.ref = take_map(p, "ref", names, &to->config.n_ref);
	to->pid = (pid_t)hp_answer_number(p, "pid");
	to->comm = hp_answer_text(p, "comm");
	to->loaded = hp_answer_text(p, "loaded");
	to->mode = hp_answer_text(p, "mode");
	to->state = hp_answer_text(p, "state");
	to->detail = hp_answer_text(p, "detail");
}

static int take_patches(struct hp_client_patches *ret, json_t *answer)
{
	json_t *list = json_object_get(answer, "patches"), *p;
	struct memory *m = calloc(1, sizeof(*m));
	size_t n = json_array_size(list), i;
	struct hp_client_patch *v = calloc(n + 1, sizeof(*v));
	struct hp_name *names = calloc(count_names(list) + 1, sizeof(*names));

	if (!m || !v || !names) {
		free(m);
		free(v);
		free(names);
		return -ENOMEM;
	}
	*m = (struct memory){answer, names};
	json_array_foreach (list, i, p)
		take_patch(&v[i], p, &names);
	*ret = (struct hp_client_patches){n, v, m};
	return 0;
}

int hp_client_info(struct hp_client *c, pid_t pid, struct hp_client_patches *ret, struct hp_err *err)
{
	char path[64] = "/hp/v2/patches";
	json_t *answer;
	int k;

	if (pid)
		snprintf(path, sizeof(path), "/hp/v2/patches?pid=%d", (int)pid);
	k = hp_client_request(c, "GET", path, NULL, &answer, err);
	if (k < 0)
		return k;
	k = take_patches(ret, answer);
	if (k < 0) {
		json_decref(answer);
		return hp_err_set(err, k, "no memory");
	}
	return 0;
}

void hp_client_patches_free(struct hp_client_patches *p)
{
	struct memory *m = p->memory;

	if (m) {
		json_decref(m->answer);
		free(m->names);
		free(m);
	}
	free(p->v);
	*p = (struct hp_client_patches){0};
}
