/* SPDX-License-Identifier: MIT */
/*
 * hotgo/json.h – JSON as Go's encoding/json takes and gives it: keys in any case, unknown ones and
 * whatever follows the first value ignored, null for nothing, and its sentences for mistakes.
 *
 * Strings are C strings in UTF-8.  A NUL inside one is kept as the bytes C0 80, which no valid
 * UTF-8 has, and written back as \u0000.
 */
#ifndef HP_HOTGO_JSON_H
#define HP_HOTGO_JSON_H

#include <stddef.h>

#include "base/buf.h"

struct hp_err;

/* A member of the object that a request is. */
struct hp_gojson_field {
	const char *name;
	enum { HP_GOJSON_STRING, HP_GOJSON_MAP } type;
	void *to; /* STRING: char **, to be freed; MAP: struct hp_pairs * */
};

/* Decodes the first value in @body into @fields (their targets are empty at first, and have to be
 * freed in every case).  @type is Go's name of the struct, "hotgo.LoadRequest".  -HP_E_BAD_REQUEST
 * with Go's sentence; -ENOMEM. */
int hp_gojson_decode(const char *type, const struct hp_gojson_field *fields, size_t n_fields,
		     const char *body, size_t n, struct hp_err *err);

/* Appends @s in quotes, with <, > and & escaped as Go does. */
int hp_gojson_string(struct hp_buf *out, const char *s);

/* Decodes one UTF-8 sequence of at most @n (> 0) bytes: its length; *ret is U+FFFD, and the length
 * 1, when it is none. */
size_t hp_utf8_next(const char *s, size_t n, unsigned *ret);
/* Appends @c so that a C string holds it: U+0000 as C0 80. */
int hp_utf8_add(struct hp_buf *out, unsigned c);
/* A copy of @n bytes of any kind as such a C string; NULL: no memory. */
char *hp_utf8_dup(const char *s, size_t n);

#endif
