/* SPDX-License-Identifier: MIT */
/* Bodies of hotgo's requests: what is taken, written as an answer, is taken again as the same. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hotgo/hotgo.h"
#include "hp/err.h"

/* [{"hp_id":"id","config":{…}}] holds the request that it came from. */
static void read_back(const struct hp_hotgo_config *c)
{
	static const char before[] = "[{\"hp_id\":\"id\",\"config\":";
	const struct hp_hotgo_patch p = {"id", *c};
	struct hp_hotgo_config again;
	struct hp_buf out = {0};

	if (hp_hotgo_write_info(&out, &p, 1) < 0 || out.n < sizeof(before) ||
	    memcmp(out.v, before, sizeof(before) - 1) != 0 ||
	    hp_hotgo_read_load(out.v + sizeof(before) - 1, out.n - sizeof(before), &again, NULL) < 0)
		abort();
	if (strcmp(again.file, c->file) != 0 || again.replace.n != c->replace.n ||
	    again.ref.n != c->ref.n)
		abort();
	for (size_t i = 0; i < c->ref.n; i++) {
		const char *value = hp_pairs_get(&again.ref, c->ref.v[i].key);

		if (!value || strcmp(value, c->ref.v[i].value) != 0)
			abort();
	}
	hp_hotgo_config_clear(&again);
	hp_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_hotgo_config c;
	struct hp_err err = {0};
	char *id;

	if (hp_hotgo_read_load((const char *)bytes, n, &c, &err) == 0) {
		read_back(&c);
		hp_hotgo_config_clear(&c);
	} else if (!err.text[0]) {
		abort();
	}
	if (hp_hotgo_read_unload((const char *)bytes, n, &id, NULL) == 0)
		free(id);
	return 0;
}
