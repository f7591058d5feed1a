/* SPDX-License-Identifier: MIT */
/*
 * hotgo/rpc.h – one connection of Go's net/rpc to hotgo's service: HPRpcService.LoadHP, UnloadHP and
 * Info, in gob.
 *
 * Bytes go in; a call comes out; it is answered before the next one is taken.
 */
#ifndef HP_HOTGO_RPC_H
#define HP_HOTGO_RPC_H

#include <stddef.h>

#include "hotgo/hotgo.h"

/* A longer message ends the connection. */
#define HP_RPC_MESSAGE_MAX (1024 * 1024)

/* What the answer to CONNECT is, before the first message. */
#define HP_RPC_CONNECTED "HTTP/1.0 200 Connected to Go RPC\n\n"

struct hp_rpc;

struct hp_rpc_call {
	enum { HP_RPC_LOAD, HP_RPC_UNLOAD, HP_RPC_INFO } method;
	struct hp_hotgo_config config; /* LOAD */
	char *id;		       /* UNLOAD */
	/* Not empty: what is wrong with the call, to be answered by hp_rpc_fail(). */
	char refused[256];
};

int hp_rpc_new(struct hp_rpc **ret);
void hp_rpc_free(struct hp_rpc *r);

/* Takes whole messages from @data; *used tells how many bytes.  1: a call is complete (*ret, which
 * stays until it is answered); 0: more bytes are needed; -EBADMSG or -ENOMEM: the connection has to
 * be closed. */
int hp_rpc_take(struct hp_rpc *r, const char *data, size_t n, size_t *used,
		struct hp_rpc_call **ret);

/* Append the answer: 0 or -ENOMEM. */
int hp_rpc_loaded(struct hp_rpc *r, struct hp_buf *out, const char *id);
int hp_rpc_unloaded(struct hp_rpc *r, struct hp_buf *out, const char *error); /* "": it was */
int hp_rpc_info(struct hp_rpc *r, struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n);
int hp_rpc_fail(struct hp_rpc *r, struct hp_buf *out, const char *error);

#endif
