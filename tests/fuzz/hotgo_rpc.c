/* SPDX-License-Identifier: MIT */
/* What a net/rpc client sends after CONNECT: the first byte says in pieces of what size.  Every call
 * is answered, as if what it asked for had happened. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hotgo/rpc.h"

static int answer(struct hp_rpc *r, struct hp_rpc_call *c, struct hp_buf *out)
{
	if (*c->refused)
		return hp_rpc_fail(r, out, c->refused);
	if (c->method == HP_RPC_LOAD) {
		struct hp_hotgo_patch p = {"id", c->config};
		int k;

		c->config = (struct hp_hotgo_config){0};
		k = hp_rpc_info(r, out, &p, 1);
		hp_hotgo_config_clear(&p.config);
		return k;
	}
	return hp_rpc_unloaded(r, out, c->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t piece = n && bytes[0] ? bytes[0] : 1, from = 1, to = 1, used;
	struct hp_rpc_call *c;
	struct hp_rpc *r;
	int k = 0;

	if (hp_rpc_new(&r) < 0)
		return 0;
	while (to < n && k >= 0) {
		to = n - to < piece ? n : to + piece;
		while ((k = hp_rpc_take(r, (const char *)bytes + from, to - from, &used, &c)) == 1) {
			struct hp_buf out = {0};

			if (!used || used > to - from)
				abort();
			from += used;
			if (answer(r, c, &out) < 0 || !out.n)
				abort();
			hp_buf_free(&out);
		}
		from += used;
	}
	hp_rpc_free(r);
	return 0;
}
