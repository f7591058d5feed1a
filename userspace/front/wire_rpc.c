/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "front/wire.h"
#include "hotgo/rpc.h"

static void answered(struct hp_conn *c, int k)
{
	if (k < 0)
		hp_conn_no_memory(c);
	hp_conn_answered(c);
}

static void loaded(struct hp_conn *c, const char *id)
{
	answered(c, hp_rpc_loaded(c->tongue_state, &c->out, id));
}

static void unloaded(struct hp_conn *c, const char *error)
{
	answered(c, hp_rpc_unloaded(c->tongue_state, &c->out, error));
}

static void listed(struct hp_conn *c, const struct hp_hotgo_patch *v, size_t n)
{
	answered(c, hp_rpc_info(c->tongue_state, &c->out, v, n));
}

static void failed(struct hp_conn *c, const char *error)
{
	answered(c, hp_rpc_fail(c->tongue_state, &c->out, error));
}

const struct hp_wire_voice hp_wire_rpc_voice = {
	.loaded = loaded, .unloaded = unloaded, .listed = listed, .failed = failed};

static void carry_out(struct hp_conn *c, struct hp_rpc_call *call)
{
	c->busy = true;
	if (*call->refused)
		failed(c, call->refused);
	else if (call->method == HP_RPC_LOAD)
		hp_wire_load(c, &call->config);
	else if (call->method == HP_RPC_UNLOAD)
		hp_wire_unload(c, call->id);
	else
		hp_wire_info(c);
}

static size_t take(struct hp_conn *c, const char *data, size_t n)
{
	struct hp_rpc_call *call;
	size_t used = 0;
	int k = hp_rpc_take(c->tongue_state, data, n, &used, &call);

	if (k < 0) {
		hp_debug("client %llu sends what is no gob: cut off", (unsigned long long)c->id);
		hp_conn_close(c);
	} else if (k == 1) {
		carry_out(c, call);
	}
	return used;
}

static void rpc_free(void *state)
{
	hp_rpc_free(state);
}

static const struct hp_tongue gob = {.take = take, .max = HP_RPC_MESSAGE_MAX, .free = rpc_free};

void hp_wire_rpc_begin(struct hp_conn *c)
{
	struct hp_rpc *r;

	if (hp_rpc_new(&r) < 0 ||
	    hp_buf_add(&c->out, HP_RPC_CONNECTED, strlen(HP_RPC_CONNECTED)) < 0) {
		hp_conn_no_memory(c);
		return;
	}
	hp_conn_switch(c, &gob, r);
	hp_conn_answered(c);
}
