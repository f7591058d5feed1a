/* SPDX-License-Identifier: MIT */
/* hotgo/rpc_types.h – the types that the service's answers are made of, and their values in gob.
 * 0 or -ENOMEM. */
#ifndef HP_HOTGO_RPC_TYPES_H
#define HP_HOTGO_RPC_TYPES_H

#include <stdint.h>

#include "base/buf.h"
#include "hotgo/hotgo.h"

/* Go gives ids in the order of first use; these are from the recorded session. */
enum {
	HP_RPC_RESPONSE = 65,
	HP_RPC_LOAD_RESPONSE,
	HP_RPC_INVALID_REQUEST,
	HP_RPC_INFO_RESPONSE,
	HP_RPC_HP_INFO,
	HP_RPC_CONFIG,
	HP_RPC_STRING_MAP,
	HP_RPC_HP_INFO_SLICE,
	HP_RPC_UNLOAD_RESPONSE,
};

/* Whose definitions a connection has had. */
struct hp_rpc_sent {
	uint32_t mask;
};

/* @value as a message, after the definitions that it needs. */
int hp_rpc_put_value(struct hp_rpc_sent *sent, struct hp_buf *out, int type,
		     const struct hp_buf *value);

/* Values of structs. */
int hp_rpc_put_response(struct hp_buf *out, const char *method, uint64_t seq, const char *error);
int hp_rpc_put_text_struct(struct hp_buf *out, const char *first); /* the first member; "": none */
int hp_rpc_put_info(struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n);

#endif
