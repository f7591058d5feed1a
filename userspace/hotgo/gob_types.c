/* SPDX-License-Identifier: MIT */
/*
 * A definition is itself a value of gob's own type WireType, whose shape is known: one of seven
 * structs, each beginning with a CommonType of name and id.
 *
 * Types may refer to themselves and to types that come later, so that the depth of a value is not
 * known before it is read: it is limited.  Every element takes at least a byte, which limits loops.
 */
#include "hotgo/gob.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

void hp_gob_types_free(struct hp_gob_types *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].field);
	t->n = 0;
}

const struct hp_gob_type *hp_gob_type(const struct hp_gob_types *t, int64_t id)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].id == id)
			return &t->v[i];
	return NULL;
}

/* The next field of a struct of gob's own: its number, 0 at the end. */
static bool next(struct hp_gob_in *in, uint64_t *field)
{
	uint64_t delta;

	if (!hp_gob_uint(in, &delta) || delta > 16)
		return false;
	*field = delta ? *field + delta : 0;
	return true;
}

/* {1: Name, 2: Id} */
static bool read_common(struct hp_gob_in *in)
{
	const char *name;
	uint64_t f = 0;
	int64_t id;
	size_t n;

	while (next(in, &f) && f)
		if (!(f == 1 ? hp_gob_bytes(in, &name, &n) : f == 2 && hp_gob_int(in, &id)))
			return false;
	return !f;
}

/* {1: Name, 2: Id}, as a struct's field has them. */
static bool read_field(struct hp_gob_field *to, struct hp_gob_in *in)
{
	const char *name = "";
	uint64_t f = 0;
	size_t n = 0;

	while (next(in, &f) && f)
		if (!(f == 1 ? hp_gob_bytes(in, &name, &n) : f == 2 && hp_gob_int(in, &to->type)))
			return false;
	if (n >= sizeof(to->name))
		n = sizeof(to->name) - 1;
	memcpy(to->name, name, n);
	return !f;
}

static bool read_fields(struct hp_gob_type *t, struct hp_gob_in *in)
{
	uint64_t n;

	if (t->field || !hp_gob_uint(in, &n) || n > HP_GOB_FIELDS_MAX)
		return false;
	t->field = calloc(n ? n : 1, sizeof(*t->field));
	if (!t->field)
		return false;
	for (t->n_fields = 0; t->n_fields < n; t->n_fields++)
		if (!read_field(&t->field[t->n_fields], in))
			return false;
	return true;
}

/* One of WireType's members; all begin with {1: CommonType}. */
static bool read_member(struct hp_gob_type *t, struct hp_gob_in *in)
{
	uint64_t f = 0;
	int64_t len;
	bool good = true;

	while (good && next(in, &f) && f) {
		if (f == 1)
			good = read_common(in);
		else if (f == 2 && t->kind == HP_GOB_STRUCT)
			good = read_fields(t, in);
		else if (f == 2 && t->kind == HP_GOB_MAP)
			good = hp_gob_int(in, &t->key);
		else if ((f == 2 && (t->kind == HP_GOB_SLICE || t->kind == HP_GOB_ARRAY)) ||
			 (f == 3 && t->kind == HP_GOB_MAP))
			good = hp_gob_int(in, &t->elem);
		else
			good = f == 3 && t->kind == HP_GOB_ARRAY && hp_gob_int(in, &len);
	}
	return good && !f;
}

bool hp_gob_define(struct hp_gob_types *t, int64_t id, struct hp_gob_in *in)
{
	struct hp_gob_type type = {.id = id};
	uint64_t f = 0, end = 1;

	if (id < HP_GOB_USER || t->n == HP_GOB_TYPES_MAX || hp_gob_type(t, id))
		return false;
	if (!next(in, &f) || f < 1 || f > 7)
		return false;
	/* 5 to 7 encode themselves, as bytes. */
	type.kind = f < HP_GOB_OPAQUE ? (int)f : HP_GOB_OPAQUE;
	if (!read_member(&type, in) || !hp_gob_uint(in, &end) || end || in->at != in->end) {
		free(type.field);
		return false;
	}
	t->v[t->n++] = type;
	return true;
}

/* --- values ---------------------------------------------------------------------------------------- */

static bool skip(const struct hp_gob_types *t, int64_t id, struct hp_gob_in *in, int depth);

static bool skip_interface(struct hp_gob_in *in)
{
	const char *bytes;
	int64_t type;
	size_t n;

	if (!hp_gob_bytes(in, &bytes, &n))
		return false;
	/* Without a name it is nil. */
	return !n || (hp_gob_int(in, &type) && hp_gob_bytes(in, &bytes, &n));
}

static bool skip_builtin(int64_t type, struct hp_gob_in *in)
{
	const char *bytes;
	uint64_t u, imaginary;
	size_t n;

	switch (type) {
	case HP_GOB_BOOL:
	case HP_GOB_INT:
	case HP_GOB_UINT:
	case HP_GOB_FLOAT:
		return hp_gob_uint(in, &u);
	case HP_GOB_BYTES:
	case HP_GOB_STRING:
		return hp_gob_bytes(in, &bytes, &n);
	case HP_GOB_COMPLEX:
		return hp_gob_uint(in, &u) && hp_gob_uint(in, &imaginary);
	case HP_GOB_INTERFACE:
		return skip_interface(in);
	}
	return false;
}

static bool skip_elements(const struct hp_gob_types *t, const struct hp_gob_type *type,
			  struct hp_gob_in *in, int depth)
{
	uint64_t n;

	if (!hp_gob_uint(in, &n) || n > (size_t)(in->end - in->at))
		return false;
	while (n--)
		if ((type->kind == HP_GOB_MAP && !skip(t, type->key, in, depth)) ||
		    !skip(t, type->elem, in, depth))
			return false;
	return true;
}

struct walk {
	const struct hp_gob_types *types;
	int depth;
};

static bool skip_field(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in)
{
	const struct walk *w = arg;

	return skip(w->types, f->type, in, w->depth);
}

static bool skip(const struct hp_gob_types *t, int64_t id, struct hp_gob_in *in, int depth)
{
	const struct hp_gob_type *type = hp_gob_type(t, id);
	struct walk w = {t, depth + 1};
	const char *bytes;
	size_t n;

	if (depth > DEPTH_MAX)
		return false;
	if (!type)
		return skip_builtin(id, in);
	switch (type->kind) {
	case HP_GOB_STRUCT:
		return hp_gob_struct(t, id, in, skip_field, &w);
	case HP_GOB_OPAQUE:
		return hp_gob_bytes(in, &bytes, &n);
	case HP_GOB_ARRAY:
	case HP_GOB_SLICE:
	case HP_GOB_MAP:
		break;
	}
	return skip_elements(t, type, in, depth + 1);
}

bool hp_gob_skip(const struct hp_gob_types *t, int64_t type, struct hp_gob_in *in)
{
	return skip(t, type, in, 0);
}

bool hp_gob_struct(const struct hp_gob_types *t, int64_t id, struct hp_gob_in *in,
		   bool (*field)(void *arg, const struct hp_gob_field *f, struct hp_gob_in *in),
		   void *arg)
{
	const struct hp_gob_type *type = hp_gob_type(t, id);
	uint64_t at = 0, delta;

	if (!type || type->kind != HP_GOB_STRUCT)
		return false;
	while (hp_gob_uint(in, &delta)) {
		if (!delta)
			return true;
		if (delta > type->n_fields - at)
			return false;
		at += delta;
		if (!field(arg, &type->field[at - 1], in))
			return false;
	}
	return false;
}
