/* SPDX-License-Identifier: MIT */
/*
 * The grammar as a loop with a stack of brackets, not as recursion: a body may consist of a million
 * brackets.  What is expected next names the mistake.
 */
#include "hotgo/json_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "hp/err.h"

/* Go's limit. */
#define DEPTH_MAX 10000

struct scan {
	const char *s;
	size_t n, at;
	struct hp_buf open; /* '{' and '[' */
	struct hp_err *err;
};

/* 'x', '\'', '\u0080': as strconv.Quote shows the rune of that number. */
static void quote(unsigned char c, char buf[16])
{
	static const char escaped[] = "\a\b\f\n\r\t\v\\'", letter[] = "abfnrtv\\'";
	const char *e = c ? strchr(escaped, c) : NULL;

	if (e)
		snprintf(buf, 16, "'\\%c'", letter[e - escaped]);
	else if (c < ' ' || c == 127)
		snprintf(buf, 16, "'\\x%02x'", c);
	else if (c < 127)
		snprintf(buf, 16, "'%c'", c);
	else if (c <= 0xa0 || c == 0xad)
		snprintf(buf, 16, "'\\u%04x'", c);
	else
		snprintf(buf, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static int bad(const struct scan *s, const char *where)
{
	char c[16];

	if (s->at >= s->n)
		return hp_err_set(s->err, -HP_E_BAD_REQUEST, "unexpected EOF");
	quote((unsigned char)s->s[s->at], c);
	return hp_err_set(s->err, -HP_E_BAD_REQUEST, "invalid character %s %s", c, where);
}

static bool is(const struct scan *s, const char *any)
{
	return s->at < s->n && s->s[s->at] && strchr(any, s->s[s->at]);
}

static int scan_escape(struct scan *s)
{
	if (!is(s, "bfnrt\\/\"u"))
		return bad(s, "in string escape code");
	if (s->s[s->at++] != 'u')
		return 0;
	for (int i = 0; i < 4; i++, s->at++)
		if (!is(s, "0123456789abcdefABCDEF"))
			return bad(s, "in \\u hexadecimal character escape");
	return 0;
}

/* Behind the opening quote. */
static int scan_string(struct scan *s)
{
	while (s->at < s->n) {
		unsigned char c = (unsigned char)s->s[s->at];

		if (c < ' ')
			return bad(s, "in string literal");
		s->at++;
		if (c == '"')
			return 0;
		if (c == '\\' && scan_escape(s) < 0)
			return -HP_E_BAD_REQUEST;
	}
	return bad(s, "");
}

static void skip_digits(struct scan *s)
{
	while (is(s, "0123456789"))
		s->at++;
}

static int need_digits(struct scan *s, const char *where)
{
	if (!is(s, "0123456789"))
		return bad(s, where);
	skip_digits(s);
	return 0;
}

static int scan_number(struct scan *s)
{
	int k = 0;

	if (is(s, "-"))
		s->at++;
	if (is(s, "0"))
		s->at++;
	else
		k = need_digits(s, "in numeric literal");
	if (k == 0 && is(s, ".")) {
		s->at++;
		k = need_digits(s, "after decimal point in numeric literal");
	}
	if (k == 0 && is(s, "eE")) {
		s->at++;
		if (is(s, "+-"))
			s->at++;
		k = need_digits(s, "in exponent of numeric literal");
	}
	return k;
}

static int scan_literal(struct scan *s, const char *word)
{
	char where[64];

	for (const char *p = word; *p; p++, s->at++)
		if (s->at >= s->n || s->s[s->at] != *p) {
			snprintf(where, sizeof(where), "in literal %s (expecting '%c')", word, *p);
			return bad(s, where);
		}
	return 0;
}

static int scan_scalar(struct scan *s)
{
	if (is(s, "\"")) {
		s->at++;
		return scan_string(s);
	}
	if (is(s, "-0123456789"))
		return scan_number(s);
	if (is(s, "t"))
		return scan_literal(s, "true");
	if (is(s, "f"))
		return scan_literal(s, "false");
	if (is(s, "n"))
		return scan_literal(s, "null");
	return bad(s, "looking for beginning of value");
}

enum expect { VALUE, FIRST_VALUE, KEY, FIRST_KEY, COLON, AFTER };

static char innermost(const struct scan *s)
{
	return s->open.n ? s->open.v[s->open.n - 1] : 0;
}

static int begin(struct scan *s, enum expect *e)
{
	char c = s->s[s->at];

	if (c != '{' && c != '[') {
		*e = AFTER;
		return scan_scalar(s);
	}
	if (s->open.n == DEPTH_MAX)
		return bad(s, "exceeded max depth");
	s->at++;
	*e = c == '{' ? FIRST_KEY : FIRST_VALUE;
	return hp_buf_add(&s->open, &c, 1);
}

static int end(struct scan *s, enum expect *e)
{
	s->at++;
	s->open.n--;
	*e = AFTER;
	return 0;
}

static int after(struct scan *s, enum expect *e)
{
	bool object = innermost(s) == '{';

	if (is(s, object ? "}" : "]"))
		return end(s, e);
	if (!is(s, ","))
		return bad(s, object ? "after object key:value pair" : "after array element");
	s->at++;
	*e = object ? KEY : VALUE;
	return 0;
}

static int step(struct scan *s, enum expect *e)
{
	switch (*e) {
	case FIRST_VALUE:
		if (is(s, "]"))
			return end(s, e);
		return begin(s, e);
	case VALUE:
		return begin(s, e);
	case FIRST_KEY:
	case KEY:
		if (*e == FIRST_KEY && is(s, "}"))
			return end(s, e);
		if (!is(s, "\""))
			return bad(s, "looking for beginning of object key string");
		*e = COLON;
		return scan_scalar(s);
	case COLON:
		if (!is(s, ":"))
			return bad(s, "after object key");
		s->at++;
		*e = VALUE;
		return 0;
	case AFTER:
		return after(s, e);
	}
	return -EINVAL;
}

int hp_gojson_scan(const char *body, size_t n, size_t *ret, struct hp_err *err)
{
	struct scan s = {.s = body, .n = n, .err = err};
	enum expect e = VALUE;
	bool begun = false;
	int k = 0;

	do {
		while (s.at < n && hp_gojson_is_space(body[s.at]))
			s.at++;
		if (s.at >= n)
			k = hp_err_set(err, -HP_E_BAD_REQUEST, begun ? "unexpected EOF" : "EOF");
		else
			k = step(&s, &e);
		begun = true;
	} while (k == 0 && (e != AFTER || s.open.n));
	hp_buf_free(&s.open);
	if (k == -ENOMEM)
		return hp_err_sys(err, ENOMEM, "request");
	if (k == 0)
		*ret = s.at;
	return k;
}
