/* SPDX-License-Identifier: MIT */
/*
 * A call is two messages: a header (Request: the method and a number) and its argument, either with
 * definitions of types before it.  As in Go a header that is wrong ends the connection, and an
 * argument that is wrong fails the call.
 */
#include "hotgo/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hotgo/gob.h"
#include "hotgo/json.h"
#include "hotgo/rpc_types.h"

#define METHOD_MAX 256
#define SERVICE	   "HPRpcService."
#define PAIRS_MAX  1024

struct hp_rpc {
	struct hp_gob_types types;
	struct hp_rpc_sent sent;
	char method[METHOD_MAX]; /* "": no header yet */
	uint64_t seq;
	struct hp_rpc_call call;
	int error; /* -ENOMEM in a callback */
};

int hp_rpc_new(struct hp_rpc **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void call_clear(struct hp_rpc *r)
{
	hp_hotgo_config_clear(&r->call.config);
	free(r->call.id);
	r->call = (struct hp_rpc_call){0};
	r->method[0] = 0;
}

void hp_rpc_free(struct hp_rpc *r)
{
	if (!r)
		return;
	call_clear(r);
	hp_gob_types_free(&r->types);
	free(r);
}

/* --- the header ---------------------------------------------------------------------------------- */

static bool header_field(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in)
{
	struct hp_rpc *r = arg;
	const char *s;
	size_t n;

	if (!strcmp(f->name, "Seq"))
		return f->type == HP_GOB_UINT && hp_gob_uint(in, &r->seq);
	if (strcmp(f->name, "ServiceMethod") != 0)
		return hp_gob_skip(&r->types, f->type, in);
	if (f->type != HP_GOB_STRING || !hp_gob_bytes(in, &s, &n) || n >= METHOD_MAX ||
	    memchr(s, 0, n))
		return false;
	memcpy(r->method, s, n);
	r->method[n] = 0;
	return true;
}

static void name_method(struct hp_rpc *r)
{
	static const char *const names[] = {
		[HP_RPC_LOAD] = "LoadHP", [HP_RPC_UNLOAD] = "UnloadHP", [HP_RPC_INFO] = "Info"};
	struct hp_rpc_call *c = &r->call;
	const char *dot = strrchr(r->method, '.');

	for (size_t i = 0; i < 3; i++)
		if (!strncmp(r->method, SERVICE, strlen(SERVICE)) &&
		    !strcmp(r->method + strlen(SERVICE), names[i])) {
			c->method = (int)i;
			return;
		}
	if (!dot)
		snprintf(c->refused, sizeof(c->refused),
			 "rpc: service/method request ill-formed: %.200s", r->method);
	else if ((size_t)(dot - r->method) == strlen(SERVICE) - 1 &&
		 !strncmp(r->method, SERVICE, strlen(SERVICE)))
		snprintf(c->refused, sizeof(c->refused), "rpc: can't find method %.200s",
			 r->method);
	else
		snprintf(c->refused, sizeof(c->refused), "rpc: can't find service %.200s",
			 r->method);
}

static int take_header(struct hp_rpc *r, int64_t type, struct hp_gob_in *in)
{
	r->seq = 0;
	if (!hp_gob_struct(&r->types, type, in, header_field, r) || in->at != in->end)
		return -EBADMSG;
	name_method(r);
	/* Nothing was named: the name is what tells that a header is there. */
	if (!r->method[0])
		return -EBADMSG;
	return 0;
}

/* --- the argument -------------------------------------------------------------------------------- */

static bool skip_wrong(struct hp_rpc *r, const struct hp_gob_field *f, struct hp_gob_in *in,
		       const char *type, const char *owner)
{
	struct hp_rpc_call *c = &r->call;

	if (!*c->refused)
		snprintf(c->refused, sizeof(c->refused),
			 "gob: wrong type (%s) for received field %s.%s", type, owner, f->name);
	return hp_gob_skip(&r->types, f->type, in);
}

static bool take_text(struct hp_rpc *r, struct hp_gob_in *in, char **ret)
{
	const char *s;
	size_t n;

	if (!hp_gob_bytes(in, &s, &n))
		return false;
	free(*ret);
	*ret = hp_utf8_dup(s, n);
	if (!*ret)
		r->error = -ENOMEM;
	return *ret;
}

static bool take_map(struct hp_rpc *r, struct hp_gob_in *in, struct hp_pairs *map)
{
	uint64_t n;

	if (!hp_gob_uint(in, &n) || n > PAIRS_MAX)
		return false;
	while (n--) {
		char *key = NULL, *value = NULL;
		bool good = take_text(r, in, &key) && take_text(r, in, &value);

		if (good && hp_pairs_set(map, key, value) < 0) {
			r->error = -ENOMEM;
			good = false;
		}
		free(key);
		free(value);
		if (!good)
			return false;
	}
	return true;
}

static bool config_field(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in)
{
	struct hp_rpc *r = arg;
	const struct hp_gob_type *t = hp_gob_type(&r->types, f->type);
	bool replace = !strcmp(f->name, "ReplaceConfig");

	if (!strcmp(f->name, "HPFile"))
		return f->type == HP_GOB_STRING ? take_text(r, in, &r->call.config.file)
						: skip_wrong(r, f, in, "string", "Config");
	if (!replace && strcmp(f->name, "RefConfig") != 0)
		return hp_gob_skip(&r->types, f->type, in);
	if (!t || t->kind != HP_GOB_MAP || t->key != HP_GOB_STRING || t->elem != HP_GOB_STRING)
		return skip_wrong(r, f, in, "map[string]string", "Config");
	return take_map(r, in, replace ? &r->call.config.replace : &r->call.config.ref);
}

static bool unload_field(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in)
{
	struct hp_rpc *r = arg;

	if (strcmp(f->name, "HPID") != 0)
		return hp_gob_skip(&r->types, f->type, in);
	return f->type == HP_GOB_STRING ? take_text(r, in, &r->call.id)
					: skip_wrong(r, f, in, "string", "UnloadRequest");
}

static bool other_field(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in)
{
	struct hp_rpc *r = arg;

	return hp_gob_skip(&r->types, f->type, in);
}

static int take_argument(struct hp_rpc *r, int64_t type, struct hp_gob_in *in)
{
	static bool (*const fields[])(void *, const struct hp_gob_field *, struct hp_gob_in *) = {
		[HP_RPC_LOAD] = config_field,
		[HP_RPC_UNLOAD] = unload_field,
		[HP_RPC_INFO] = other_field};
	static const char *const names[] = {[HP_RPC_LOAD] = "Config",
					    [HP_RPC_UNLOAD] = "UnloadRequest",
					    [HP_RPC_INFO] = "InfoRequest"};
	const struct hp_gob_type *t = hp_gob_type(&r->types, type);
	struct hp_rpc_call *c = &r->call;

	/* Of a call that nobody takes, the argument is not looked at. */
	if (*c->refused)
		return 0;
	if (!t || t->kind != HP_GOB_STRUCT) {
		snprintf(c->refused, sizeof(c->refused),
			 "gob: type mismatch in decoder: want struct type hotgo.%s; got non-struct",
			 names[c->method]);
		return 0;
	}
	if (!hp_gob_struct(&r->types, type, in, fields[c->method], r) || in->at != in->end)
		return r->error ? r->error : -EBADMSG;
	/* What was not sent is empty. */
	if ((!c->config.file && !(c->config.file = strdup(""))) ||
	    (!c->id && !(c->id = strdup(""))))
		return -ENOMEM;
	return 0;
}

/* --- messages ------------------------------------------------------------------------------------ */

/* 1: a call is complete. */
static int take_item(struct hp_rpc *r, struct hp_gob_in *in)
{
	int64_t id;
	int k;

	if (!hp_gob_int(in, &id) || id == 0 || id == INT64_MIN)
		return -EBADMSG;
	if (id < 0)
		return hp_gob_define(&r->types, -id, in) ? 0 : -EBADMSG;
	if (!r->method[0])
		return take_header(r, id, in);
	k = take_argument(r, id, in);
	return k < 0 ? k : 1;
}

int hp_rpc_take(struct hp_rpc *r, const char *data, size_t n, size_t *used,
		struct hp_rpc_call **ret)
{
	struct hp_gob_in in = {(const uint8_t *)data, (const uint8_t *)data + n};
	int k = 0;

	*used = 0;
	while (k == 0 && in.at < in.end) {
		struct hp_gob_in item;
		uint8_t first = *in.at;
		uint64_t len;

		/* Either it is not all there, or it says that it has more than eight bytes. */
		if (!hp_gob_uint(&in, &len))
			return first >= 0x80 && first < 0xf8 ? -EBADMSG : 0;
		if (len > HP_RPC_MESSAGE_MAX)
			return -EBADMSG;
		if (len > (size_t)(in.end - in.at))
			break;
		item = (struct hp_gob_in){in.at, in.at + len};
		in.at += len;
		*used = (size_t)((const char *)in.at - data);
		k = take_item(r, &item);
	}
	if (k == 1)
		*ret = &r->call;
	return k;
}

/* --- answers ------------------------------------------------------------------------------------- */

static int done(struct hp_rpc *r, struct hp_buf *out, int type, const struct hp_buf *value,
		const char *error, int k)
{
	struct hp_buf head = {0};

	if (k == 0)
		k = hp_rpc_put_response(&head, r->method, r->seq, error);
	if (k == 0)
		k = hp_rpc_put_value(&r->sent, out, HP_RPC_RESPONSE, &head);
	if (k == 0)
		k = hp_rpc_put_value(&r->sent, out, type, value);
	hp_buf_free(&head);
	call_clear(r);
	return k;
}

int hp_rpc_loaded(struct hp_rpc *r, struct hp_buf *out, const char *id)
{
	struct hp_buf value = {0};
	int k = hp_rpc_put_text_struct(&value, id);

	k = done(r, out, HP_RPC_LOAD_RESPONSE, &value, "", k);
	hp_buf_free(&value);
	return k;
}

int hp_rpc_unloaded(struct hp_rpc *r, struct hp_buf *out, const char *error)
{
	struct hp_buf value = {0};
	int k = hp_rpc_put_text_struct(&value, error);

	k = done(r, out, HP_RPC_UNLOAD_RESPONSE, &value, "", k);
	hp_buf_free(&value);
	return k;
}

int hp_rpc_info(struct hp_rpc *r, struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n)
{
	struct hp_buf value = {0};
	int k = hp_rpc_put_info(&value, v, n);

	k = done(r, out, HP_RPC_INFO_RESPONSE, &value, "", k);
	hp_buf_free(&value);
	return k;
}

int hp_rpc_fail(struct hp_rpc *r, struct hp_buf *out, const char *error)
{
	struct hp_buf value = {0};
	int k = hp_rpc_put_text_struct(&value, "");

	k = done(r, out, HP_RPC_INVALID_REQUEST, &value, error, k);
	hp_buf_free(&value);
	return k;
}
