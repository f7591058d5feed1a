/* SPDX-License-Identifier: MIT */
#include "restart/expand.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static size_t name_length(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || text[n] == '_')
		n++;
	return n;
}

/* "" where it is not set. */
static const char *value_of(const struct hp_spec *env, const char *name, size_t n)
{
	char *copy = strndup(name, n);
	const char *value = copy ? hp_environ_get(env, copy) : NULL;

	free(copy);
	return value ? value : "";
}

/* One word of a value, its quotes taken off, into @to, which has room for all of it.  The rest. */
static const char *take_word(const char *text, char *to)
{
	char quote = 0;

	for (; *text && (quote || !isspace((unsigned char)*text)); text++) {
		if (quote ? *text == quote : *text == '"' || *text == '\'') {
			quote = quote ? 0 : *text;
			continue;
		}
		if (*text == '\\' && text[1] && quote != '\'')
			text++;
		*to++ = *text;
	}
	*to = 0;
	return text;
}

static int add_words(struct hp_strings *to, const char *value)
{
	char *word = malloc(strlen(value) + 1);
	int r = word ? 0 : -ENOMEM;

	while (r == 0) {
		value += strspn(value, " \t\n\r");
		if (!*value)
			break;
		value = take_word(value, word);
		r = hp_strings_add(to, word);
	}
	free(word);
	return r;
}

/* Replaces the first variable in *word from *at on.  0: there is none. */
static int replace_one(char **word, size_t *at, const struct hp_spec *env)
{
	char *dollar = strchr(*word + *at, '$'), *joined;
	const char *value = "$", *rest;
	int before;
	size_t n;

	if (!dollar)
		return 0;
	n = dollar[1] == '{' ? name_length(dollar + 2) : 0;
	if (n && dollar[2 + n] == '}') {
		value = value_of(env, dollar + 2, n);
		rest = dollar + n + 3;
	} else {
		rest = dollar + 1 + (dollar[1] == '$');
	}
	before = (int)(dollar - *word);
	*at = (size_t)before + strlen(value);
	if (asprintf(&joined, "%.*s%s%s", before, *word, value, rest) < 0)
		return -ENOMEM;
	free(*word);
	*word = joined;
	return 1;
}

int hp_expand_word(struct hp_strings *to, const char *word, const struct hp_spec *env)
{
	char *text;
	size_t at = 0;
	int r = 1;

	if (word[0] == '$' && word[1] && name_length(word + 1) == strlen(word + 1))
		return add_words(to, value_of(env, word + 1, strlen(word + 1)));
	text = strdup(word);
	if (!text)
		return -ENOMEM;
	while (r == 1)
		r = replace_one(&text, &at, env);
	if (r == 0)
		r = hp_strings_add(to, text);
	free(text);
	return r;
}
