/* SPDX-License-Identifier: MIT */
/*
 * hotgo/gob.h – Go's encoding/gob: numbers, types and values.
 *
 * A message is a length and one item.  An item begins with a type's id: negative, it defines that
 * type; else a value follows.  Types of the language have ids below 64; every other is defined by
 * whoever sends, once a connection, before its first value.
 */
#ifndef HP_HOTGO_GOB_H
#define HP_HOTGO_GOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum hp_gob_builtin {
	HP_GOB_BOOL = 1,
	HP_GOB_INT,
	HP_GOB_UINT,
	HP_GOB_FLOAT,
	HP_GOB_BYTES,
	HP_GOB_STRING,
	HP_GOB_COMPLEX,
	HP_GOB_INTERFACE,
};
#define HP_GOB_USER 64 /* the first id of one's own */

#define HP_GOB_TYPES_MAX  64
#define HP_GOB_FIELDS_MAX 64

/* --- reading: bytes of a message; false: they are not what they should be ------------------------- */

struct hp_gob_in {
	const uint8_t *at, *end;
};

bool hp_gob_uint(struct hp_gob_in *in, uint64_t *ret);
bool hp_gob_int(struct hp_gob_in *in, int64_t *ret);
/* A length and so many bytes; *ret points into the message. */
bool hp_gob_bytes(struct hp_gob_in *in, const char **ret, size_t *n);

struct hp_gob_field {
	char name[40]; /* cut off; nobody asks for a longer one */
	int64_t type;
};

struct hp_gob_type {
	int64_t id; /* 0: none */
	enum { HP_GOB_ARRAY = 1, HP_GOB_SLICE, HP_GOB_STRUCT, HP_GOB_MAP, HP_GOB_OPAQUE } kind;
	int64_t elem, key;
	struct hp_gob_field *field;
	size_t n_fields;
};

/* What the other end has defined. */
struct hp_gob_types {
	struct hp_gob_type v[HP_GOB_TYPES_MAX];
	size_t n;
};
void hp_gob_types_free(struct hp_gob_types *t);

/* Reads the definition of type @id, behind that id. */
bool hp_gob_define(struct hp_gob_types *t, int64_t id, struct hp_gob_in *in);
/* NULL: not defined, or of the language. */
const struct hp_gob_type *hp_gob_type(const struct hp_gob_types *t, int64_t id);

/* Goes over a value of any type. */
bool hp_gob_skip(const struct hp_gob_types *t, int64_t type, struct hp_gob_in *in);

/* Calls @field for every one that was sent of a struct of @type; it takes the value, or skips it. */
bool hp_gob_struct(const struct hp_gob_types *t, int64_t type, struct hp_gob_in *in,
		   bool (*field)(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in),
		   void *arg);

/* --- writing: 0 or -ENOMEM ------------------------------------------------------------------------ */

int hp_gob_put_uint(struct hp_buf *out, uint64_t n);
int hp_gob_put_int(struct hp_buf *out, int64_t n);
int hp_gob_put_string(struct hp_buf *out, const char *s, size_t n);
/* Its length, and @item: a whole message. */
int hp_gob_put_message(struct hp_buf *out, const struct hp_buf *item);

#endif
