/* SPDX-License-Identifier: MIT */
#include "restart/envfile.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "restart/spec.h"

#define BLANKS "\t "
#define ENDS   "\r\n"

static bool is_one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

/* From behind the quote to behind the one that closes it; lines may end in between. */
static const char *take_quoted(const char *p, char quote, char **to)
{
	for (; *p && *p != quote; p++) {
		if (*p == '\\' && p[1] && quote == '"') {
			p++;
			if (*p == '\n')
				continue;
			if (!strchr("\"\\`$", *p))
				*(*to)++ = '\\';
		}
		*(*to)++ = *p;
	}
	return p + (*p == quote);
}

/* Quoted parts come first; behind them a quote is a character like any other. */
static const char *take_value(const char *p, char *to)
{
	char *end = to; /* behind it are blanks that do not count */
	bool plain = false;

	while (*p && !is_one_of(*p, ENDS)) {
		if (!plain && is_one_of(*p, BLANKS)) {
			p++;
		} else if (!plain && is_one_of(*p, "\"'")) {
			p = take_quoted(p + 1, *p, &to);
			end = to;
		} else if (*p == '\\' && p[1]) {
			plain = true;
			if (p[1] != '\n')
				*to++ = p[1];
			end = to;
			p += 2;
		} else {
			plain = true;
			*to++ = *p;
			if (!is_one_of(*p++, BLANKS))
				end = to;
		}
	}
	*end = 0;
	return p;
}

static bool is_name(const char *name)
{
	size_t n = 0;

	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	return n && !name[n] && !isdigit((unsigned char)name[0]);
}

/* Ends @name, of @n characters, where its blanks begin. */
static void trim(char *name, size_t n)
{
	while (n && is_one_of(name[n - 1], BLANKS))
		n--;
	name[n] = 0;
}

int hp_envfile_take(struct hp_spec *to, const char *text)
{
	char *name = malloc(strlen(text) + 1), *value = malloc(strlen(text) + 1);
	int r = name && value ? 0 : -ENOMEM;

	for (const char *p = text; r == 0 && *(p += strspn(p, BLANKS ENDS));) {
		size_t n = strcspn(p, is_one_of(*p, "#;") ? ENDS : "=" ENDS);

		memcpy(name, p, n);
		trim(name, n);
		p += n;
		if (*p != '=')
			continue;
		p = take_value(p + 1, value);
		if (is_name(name))
			r = hp_environ_set(to, name, value);
	}
	free(name);
	free(value);
	return r;
}
