/* SPDX-License-Identifier: MIT */
/* hotgo/json_scan.h – where a JSON value ends, or Go's sentence for why it does not. */
#ifndef HP_HOTGO_JSON_SCAN_H
#define HP_HOTGO_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct hp_err;

static inline bool hp_gojson_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The first value of @body, spaces before it included, ends at *ret.  -HP_E_BAD_REQUEST: "EOF" when
 * there is none, or what Go says of the first byte that is wrong.  -ENOMEM. */
int hp_gojson_scan(const char *body, size_t n, size_t *ret, struct hp_err *err);

#endif
