/* SPDX-License-Identifier: MIT */
/*
 * A struct is sent as its members that are not zero: each the distance from the one before and the
 * value, and 0 at the end.
 */
#include "hotgo/rpc_types.h"

#include <string.h>

#include "hotgo/gob.h"

struct member {
	const char *name;
	int type;
};

struct type {
	int kind;
	const char *name;
	int key, elem;
	struct member member[3];
};

static const struct type types[] = {
	[HP_RPC_RESPONSE] = {HP_GOB_STRUCT,
			     "Response",
			     .member = {{"ServiceMethod", HP_GOB_STRING},
					{"Seq", HP_GOB_UINT},
					{"Error", HP_GOB_STRING}}},
	[HP_RPC_LOAD_RESPONSE] = {HP_GOB_STRUCT,
				  "LoadResponse",
				  .member = {{"HPID", HP_GOB_STRING}, {"Error", HP_GOB_STRING}}},
	[HP_RPC_INVALID_REQUEST] = {.kind = HP_GOB_STRUCT, .name = ""},
	[HP_RPC_INFO_RESPONSE] = {HP_GOB_STRUCT,
				  "InfoResponse",
				  .member = {{"Info", HP_RPC_HP_INFO_SLICE}}},
	[HP_RPC_HP_INFO] = {HP_GOB_STRUCT,
			    "HPInfo",
			    .member = {{"HPID", HP_GOB_STRING}, {"Config", HP_RPC_CONFIG}}},
	[HP_RPC_CONFIG] = {HP_GOB_STRUCT,
			   "Config",
			   .member = {{"HPFile", HP_GOB_STRING},
				      {"ReplaceConfig", HP_RPC_STRING_MAP},
				      {"RefConfig", HP_RPC_STRING_MAP}}},
	[HP_RPC_STRING_MAP] = {.kind = HP_GOB_MAP,
			       .name = "map[string]string",
			       .key = HP_GOB_STRING,
			       .elem = HP_GOB_STRING},
	[HP_RPC_HP_INFO_SLICE] = {HP_GOB_SLICE, "[]hotgo.HPInfo", .elem = HP_RPC_HP_INFO},
	[HP_RPC_UNLOAD_RESPONSE] = {HP_GOB_STRUCT,
				    "UnloadResponse",
				    .member = {{"Error", HP_GOB_STRING}}},
};

/* What is written for a member: the first failure stays. */
struct writer {
	struct hp_buf *out;
	int k;
};

static void put(struct writer *w, uint64_t n)
{
	if (w->k == 0)
		w->k = hp_gob_put_uint(w->out, n);
}

static void put_int(struct writer *w, int64_t n)
{
	if (w->k == 0)
		w->k = hp_gob_put_int(w->out, n);
}

static void put_text(struct writer *w, const char *s)
{
	if (w->k == 0)
		w->k = hp_gob_put_string(w->out, s, strlen(s));
}

/* {Name, Id}: of a type, or of a struct's member. */
static void put_name(struct writer *w, const char *name, int id)
{
	if (*name) {
		put(w, 1);
		put_text(w, name);
	}
	put(w, *name ? 1 : 2);
	put_int(w, id);
	put(w, 0);
}

static void put_members(struct writer *w, const struct type *t)
{
	unsigned n = 0;

	while (n < 3 && t->member[n].name)
		n++;
	if (!n)
		return;
	put(w, 1);
	put(w, n);
	for (unsigned i = 0; i < n; i++)
		put_name(w, t->member[i].name, t->member[i].type);
}

static int put_definition(struct hp_buf *item, int id)
{
	const struct type *t = &types[id];
	struct writer w = {item, 0};

	put_int(&w, -id);
	put(&w, (unsigned)t->kind);
	put(&w, 1);
	put_name(&w, t->name, id);
	if (t->kind == HP_GOB_STRUCT)
		put_members(&w, t);
	if (t->key) {
		put(&w, 1);
		put_int(&w, t->key);
	}
	if (t->elem) {
		put(&w, 1);
		put_int(&w, t->elem);
	}
	put(&w, 0);
	put(&w, 0);
	return w.k;
}

/* A type, then those that it is made of, in Go's order. */
static int define(struct hp_rpc_sent *sent, struct hp_buf *out, int id)
{
	uint32_t bit = id < HP_GOB_USER ? 0 : 1u << (id - HP_GOB_USER);
	struct hp_buf item = {0};
	int k;

	if (!bit || (sent->mask & bit))
		return 0;
	sent->mask |= bit;
	k = put_definition(&item, id);
	if (k == 0)
		k = hp_gob_put_message(out, &item);
	hp_buf_free(&item);
	for (unsigned i = 0; i < 3 && k == 0; i++)
		k = define(sent, out, types[id].member[i].type);
	return k < 0 ? k : define(sent, out, types[id].elem);
}

int hp_rpc_put_value(struct hp_rpc_sent *sent, struct hp_buf *out, int type,
		     const struct hp_buf *value)
{
	struct hp_buf item = {0};
	int k = define(sent, out, type);

	if (k == 0)
		k = hp_gob_put_int(&item, type);
	if (k == 0)
		k = hp_buf_add(&item, value->v, value->n);
	if (k == 0)
		k = hp_gob_put_message(out, &item);
	hp_buf_free(&item);
	return k;
}

/* --- values -------------------------------------------------------------------------------------- */

/* Members in their order; *skipped counts the zero ones before. */
static void put_member(struct writer *w, unsigned *skipped, const char *text)
{
	if (!*text) {
		(*skipped)++;
		return;
	}
	put(w, 1 + *skipped);
	put_text(w, text);
	*skipped = 0;
}

int hp_rpc_put_response(struct hp_buf *out, const char *method, uint64_t seq, const char *error)
{
	struct writer w = {out, 0};
	unsigned skipped = 0;

	put_member(&w, &skipped, method);
	if (seq) {
		put(&w, 1 + skipped);
		put(&w, seq);
		skipped = 0;
	} else {
		skipped++;
	}
	put_member(&w, &skipped, error);
	put(&w, 0);
	return w.k;
}

int hp_rpc_put_text_struct(struct hp_buf *out, const char *first)
{
	struct writer w = {out, 0};
	unsigned skipped = 0;

	put_member(&w, &skipped, first);
	put(&w, 0);
	return w.k;
}

static void put_map(struct writer *w, unsigned *skipped, const struct hp_pairs *map)
{
	if (!map->n) {
		(*skipped)++;
		return;
	}
	put(w, 1 + *skipped);
	put(w, map->n);
	for (size_t i = 0; i < map->n; i++) {
		put_text(w, map->v[i].key);
		put_text(w, map->v[i].value);
	}
	*skipped = 0;
}

int hp_rpc_put_info(struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n)
{
	struct writer w = {out, 0};

	if (n) {
		put(&w, 1);
		put(&w, n);
	}
	for (size_t i = 0; i < n; i++) {
		unsigned skipped = 0;

		put_member(&w, &skipped, v[i].id);
		put(&w, 1 + skipped);
		skipped = 0;
		put_member(&w, &skipped, v[i].config.file);
		put_map(&w, &skipped, &v[i].config.replace);
		put_map(&w, &skipped, &v[i].config.ref);
		put(&w, 0);
		put(&w, 0);
	}
	put(&w, 0);
	return w.k;
}
