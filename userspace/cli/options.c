/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <getopt.h>
#include <string.h>

#define OPTS_MAX 32

struct tables {
	struct option longs[OPTS_MAX + 1];
	const struct hp_opt *opt[OPTS_MAX];
	char letters[3 * OPTS_MAX + 3];
	int n;
};

static void add_letters(struct tables *t, const struct hp_opt *o)
{
	size_t n = strlen(t->letters);

	if (!o->letter)
		return;
	t->letters[n++] = o->letter;
	if (o->arg)
		t->letters[n++] = ':';
	t->letters[n] = 0;
}

static void add_table(struct tables *t, const struct hp_opt *o)
{
	for (; o && o->name && t->n < OPTS_MAX; o++) {
		/* Long options are told by their index, above all letters. */
		t->longs[t->n] = (struct option){
			o->name, o->arg ? required_argument : no_argument, NULL, 256 + t->n};
		t->opt[t->n++] = o;
		add_letters(t, o);
	}
}

static const struct hp_opt *find(const struct tables *t, int c)
{
	if (c >= 256)
		return t->opt[c - 256];
	for (int i = 0; i < t->n; i++)
		if (t->opt[i]->letter == c)
			return t->opt[i];
	return NULL;
}

static bool add(struct hp_args *args, const char *name, const char *value, char *why, size_t n)
{
	if (args->n == HP_ARGS_MAX) {
		snprintf(why, n, "more than %d arguments", HP_ARGS_MAX);
		return false;
	}
	args->v[args->n].name = name;
	args->v[args->n++].value = value;
	return true;
}

/* What getopt_long(3) did not know; @word is where it stopped. */
static bool refuse(int c, const char *word, char *why, size_t n)
{
	if (c == ':')
		snprintf(why, n, "option '%s' needs an argument", word);
	else if (optopt && optopt < 256)
		snprintf(why, n, "unknown option '-%c'", optopt);
	else if (strchr(word, '='))
		snprintf(why, n, "unknown option, or one without argument: '%s'", word);
	else
		snprintf(why, n, "unknown or ambiguous option '%s'", word);
	return false;
}

bool hp_options_parse(struct hp_args *ret, const struct hp_opt *a, const struct hp_opt *b,
		      int argc, char **argv, bool first_word, int *stopped, char *why, size_t n)
{
	/* '-': words come in their order, as option 1; '+': the first ends it. */
	struct tables t = {.letters = {first_word ? '+' : '-', ':'}};
	int c;

	add_table(&t, a);
	add_table(&t, b);
	ret->n = 0;
	optind = 0; /* glibc: begins anew, also after '+' and '-' */
	opterr = 0;
	while ((c = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1) {
		const struct hp_opt *o = find(&t, c);

		if (c == '?' || c == ':')
			return refuse(c, argv[optind - 1], why, n);
		if (!add(ret, c == 1 ? NULL : o->name, optarg ? optarg : "", why, n))
			return false;
	}
	if (stopped)
		*stopped = optind;
	/* Behind "--". */
	for (int i = optind; !first_word && i < argc; i++)
		if (!add(ret, NULL, argv[i], why, n))
			return false;
	return true;
}

const char *hp_args_get(const struct hp_args *args, const char *name)
{
	for (size_t i = args->n; i-- > 0;)
		if (args->v[i].name && !strcmp(args->v[i].name, name))
			return args->v[i].value;
	return NULL;
}

const char *hp_args_word(const struct hp_args *args, size_t i)
{
	for (size_t k = 0; k < args->n; k++)
		if (!args->v[k].name && i-- == 0)
			return args->v[k].value;
	return NULL;
}

size_t hp_args_words(const struct hp_args *args)
{
	size_t words = 0;

	for (size_t k = 0; k < args->n; k++)
		words += !args->v[k].name;
	return words;
}

void hp_options_help(FILE *to, const struct hp_opt *opts)
{
	for (; opts && opts->name; opts++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", opts->letter ? '-' : ' ',
			 opts->letter ? opts->letter : ' ', opts->letter ? ", " : "  ", opts->name,
			 opts->arg ? " " : "", opts->arg ? opts->arg : "");
		fprintf(to, "  %-28s %s\n", left, opts->help);
	}
}
