/* SPDX-License-Identifier: MIT */
/*
 * A value is scanned to its end first, so that what reads it afterwards meets no mistake.  As in Go
 * the first member of a wrong type is told, whatever follows.
 */
#include "hotgo/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "elf/patchinfo.h"
#include "hotgo/json_scan.h"
#include "hp/err.h"

/* As many as a request of hp's own may have. */
#define PAIRS_MAX 1024

struct decode {
	const char *at, *end; /* behind the value */
	const char *type;
	const struct hp_gojson_field *fields;
	size_t n_fields;
	struct hp_err *err;
	bool wrong;
};

static void skip_space(struct decode *d)
{
	while (d->at < d->end && hp_gojson_is_space(*d->at))
		d->at++;
}

/* The value at d->at ends there. */
static const char *value_end(const struct decode *d)
{
	size_t n;

	return hp_gojson_scan(d->at, (size_t)(d->end - d->at), &n, NULL) == 0 ? d->at + n : d->end;
}

static const char *kind_of(char c)
{
	switch (c) {
	case '{':
		return "object";
	case '[':
		return "array";
	case '"':
		return "string";
	case 't':
	case 'f':
		return "bool";
	}
	return "number";
}

static void wrong(struct decode *d, const char *kind, const struct hp_gojson_field *f,
		  const char *want)
{
	const char *name = strchr(d->type, '.') + 1;

	if (d->wrong)
		return;
	d->wrong = true;
	if (f)
		(void)hp_err_set(d->err, -HP_E_BAD_REQUEST,
				 "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
				 kind, name, f->name, want);
	else
		(void)hp_err_set(d->err, -HP_E_BAD_REQUEST,
				 "json: cannot unmarshal %s into Go value of type %s", kind, want);
}

static unsigned hex4(const char *s)
{
	char digits[5] = {s[0], s[1], s[2], s[3], 0};

	return (unsigned)strtoul(digits, NULL, 16);
}

/* The rune of an escape, behind its backslash; a lone half of a pair is U+FFFD. */
static unsigned unescape(const char **at)
{
	static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
	const char *p = (*at)++, *l = strchr(letters, *p);
	unsigned c, low;

	if (*p != 'u')
		return (unsigned char)(l ? bytes[l - letters] : *p);
	c = hex4(p + 1);
	*at += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c < 0xdc00 && (*at)[0] == '\\' && (*at)[1] == 'u') {
		low = hex4(*at + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			*at += 6;
			return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return 0xfffd;
}

/* The string at d->at, which is behind it then. */
static int take_string(struct decode *d, char **ret)
{
	struct hp_buf out = {0};
	int k = 0;

	for (d->at++; *d->at != '"' && k == 0;) {
		unsigned c;

		if (*d->at == '\\') {
			d->at++;
			c = unescape(&d->at);
		} else {
			d->at += hp_utf8_next(d->at, (size_t)(d->end - d->at), &c);
		}
		k = hp_utf8_add(&out, c);
	}
	d->at++;
	if (k == 0)
		k = hp_buf_add(&out, "", 1);
	if (k < 0)
		hp_buf_free(&out);
	else
		*ret = out.v;
	return k;
}

/* A string into *ret, null into nothing (it stays NULL); 0 also for what is neither, which is told. */
static int take_text(struct decode *d, const struct hp_gojson_field *f, char **ret)
{
	char c = *d->at;

	if (c == '"')
		return take_string(d, ret);
	d->at = value_end(d);
	if (c != 'n')
		wrong(d, kind_of(c), f, "string");
	return 0;
}

/* Calls @member for each one of the object at d->at; it takes the value. */
static int take_members(struct decode *d, const struct hp_gojson_field *f,
			int (*member)(struct decode *d, const struct hp_gojson_field *f,
				      const char *key))
{
	int k = 0;

	for (d->at++; skip_space(d), *d->at != '}' && k == 0;) {
		char *key = NULL;

		if (*d->at == ',')
			d->at++;
		skip_space(d);
		k = take_string(d, &key);
		skip_space(d);
		d->at++; /* the colon */
		skip_space(d);
		if (k == 0)
			k = member(d, f, key);
		free(key);
	}
	d->at++;
	return k;
}

static int take_entry(struct decode *d, const struct hp_gojson_field *f, const char *key)
{
	struct hp_pairs *map = f->to;
	char *value = NULL;
	int k = take_text(d, f, &value);

	if (k == 0 && map->n == PAIRS_MAX)
		k = hp_err_set(d->err, -HP_E_BAD_REQUEST, "%s has more than %d members", f->name,
			       PAIRS_MAX);
	if (k == 0)
		k = hp_pairs_set(map, key, value ? value : "");
	free(value);
	return k;
}

static int take_map(struct decode *d, const struct hp_gojson_field *f)
{
	char c = *d->at;

	if (c == '{')
		return take_members(d, f, take_entry);
	d->at = value_end(d);
	if (c == 'n')
		hp_pairs_free(f->to);
	else
		wrong(d, kind_of(c), f, "map[string]string");
	return 0;
}

static int take_field(struct decode *d, const struct hp_gojson_field *none, const char *key)
{
	const struct hp_gojson_field *f = NULL;
	char *text = NULL;
	int k;

	for (size_t i = 0; i < d->n_fields && !f; i++)
		if (!strcasecmp(d->fields[i].name, key))
			f = &d->fields[i];
	if (!f) {
		d->at = value_end(d);
		return 0;
	}
	if (f->type == HP_GOJSON_MAP)
		return take_map(d, f);
	k = take_text(d, f, &text);
	if (k == 0 && text) {
		free(*(char **)f->to);
		*(char **)f->to = text;
	}
	return k;
}

int hp_gojson_decode(const char *type, const struct hp_gojson_field *fields, size_t n_fields,
		     const char *body, size_t n, struct hp_err *err)
{
	struct decode d = {
		.at = body, .type = type, .fields = fields, .n_fields = n_fields, .err = err};
	size_t end;
	int k = hp_gojson_scan(body, n, &end, err);

	if (k < 0)
		return k;
	d.end = body + end;
	skip_space(&d);
	if (*d.at == '{')
		k = take_members(&d, NULL, take_field);
	else if (*d.at != 'n')
		wrong(&d, kind_of(*d.at), NULL, type);
	if (k == -ENOMEM)
		return hp_err_sys(err, ENOMEM, "request");
	if (k < 0)
		return k;
	return d.wrong ? -HP_E_BAD_REQUEST : 0;
}

static int add_escaped(struct hp_buf *out, unsigned c)
{
	switch (c) {
	case '"':
	case '\\':
		return hp_buf_printf(out, "\\%c", (int)c);
	case '\n':
		return hp_buf_add(out, "\\n", 2);
	case '\r':
		return hp_buf_add(out, "\\r", 2);
	case '\t':
		return hp_buf_add(out, "\\t", 2);
	}
	return hp_buf_printf(out, "\\u%04x", c);
}

static bool is_escaped(unsigned c)
{
	return c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' ||
	       c == 0x2028 || c == 0x2029 || c == 0xfffd;
}

int hp_gojson_string(struct hp_buf *out, const char *s)
{
	size_t n = strlen(s);
	int k = hp_buf_add(out, "\"", 1);

	for (size_t at = 0; at < n && k == 0;) {
		unsigned c;
		size_t len = hp_utf8_next(s + at, n - at, &c);

		/* U+FFFD itself stays; what is no UTF-8 becomes its escape. */
		if (n - at >= 2 && !memcmp(s + at, "\xc0\x80", 2)) {
			k = add_escaped(out, 0);
			len = 2;
		} else if (is_escaped(c) && !(c == 0xfffd && len == 3)) {
			k = add_escaped(out, c);
		} else {
			k = hp_buf_add(out, s + at, len);
		}
		at += len;
	}
	return k < 0 ? k : hp_buf_add(out, "\"", 1);
}
