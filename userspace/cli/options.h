/* SPDX-License-Identifier: MIT */
/* cli/options.h – options out of a table that --help is printed from too. */
#ifndef HP_CLI_OPTIONS_H
#define HP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define HP_ARGS_MAX 1024

struct hp_opt {
	const char *name; /* long; NULL ends a table */
	char letter;	  /* 0: none */
	const char *arg;  /* NULL: takes none */
	const char *help;
};

/* What was given, in its order. */
struct hp_args {
	struct {
		const char *name;  /* the option's long name; NULL: a word */
		const char *value; /* the word; "" for an option without argument */
	} v[HP_ARGS_MAX];
	size_t n;
};

/* Parses argv[1…] by the tables @a and @b (either may be NULL).  With @first_word it stops before
 * the first word; *stopped is the index in @argv.  False: @why holds the sentence. */
bool hp_options_parse(struct hp_args *ret, const struct hp_opt *a, const struct hp_opt *b,
		      int argc, char **argv, bool first_word, int *stopped, char *why, size_t n);

/* The last value of @name, NULL when it was not given. */
const char *hp_args_get(const struct hp_args *args, const char *name);
/* The @i-th word, NULL behind the last. */
const char *hp_args_word(const struct hp_args *args, size_t i);
size_t hp_args_words(const struct hp_args *args);

void hp_options_help(FILE *to, const struct hp_opt *opts);

#endif
