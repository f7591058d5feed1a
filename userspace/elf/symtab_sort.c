/* SPDX-License-Identifier: MIT */
#include "elf/symtab_table.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* NULL comes first. */
static int compare_text(const char *a, const char *b)
{
	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	return strcmp(a, b);
}

/* Of two with the same value. */
static int compare(const void *pa, const void *pb)
{
	const struct hp_sym *a = pa, *b = pb;
	int r = strcmp(a->name, b->name);

	if (!r)
		r = (a->type == STT_TLS) - (b->type == STT_TLS);
	if (!r)
		r = compare_text(a->file, b->file);
	/* The default version before the hidden ones: it speaks for the definition. */
	if (!r)
		r = (int)a->hidden_version - (int)b->hidden_version;
	if (!r)
		r = compare_text(a->version, b->version);
	return r;
}

static bool agree(const char *a, const char *b)
{
	return !a || !b || !strcmp(a, b);
}

static bool same_thing(const struct hp_sym *a, const struct hp_sym *b)
{
	return a->value == b->value && (a->type == STT_TLS) == (b->type == STT_TLS) &&
	       !strcmp(a->name, b->name) && agree(a->file, b->file) &&
	       agree(a->version, b->version);
}

static void merge_into(struct hp_sym *a, const struct hp_sym *b)
{
	if (!a->version && b->version) {
		a->version = b->version;
		a->hidden_version = b->hidden_version;
	}
	if (!a->file)
		a->file = b->file;
	if (!a->size)
		a->size = b->size;
	if (a->type == STT_NOTYPE)
		a->type = b->type;
	/* A hidden symbol is local in .symtab; what a loader sees counts more. */
	if (b->dynamic && !a->dynamic)
		a->bind = b->bind;
	a->dynamic |= b->dynamic;
}

struct key {
	uint64_t value;
	uint32_t index;
};

/* By value alone, a byte a pass, for as many bytes as the highest value has: with comparisons the
 * sort was most of the time that reading a library takes. */
static void sort_keys(struct key *keys, struct key *spare, size_t n, uint64_t highest)
{
	for (unsigned shift = 0; shift < 64 && highest >> shift; shift += 8) {
		size_t place[257] = {0};

		for (size_t i = 0; i < n; i++)
			place[(keys[i].value >> shift & 0xff) + 1]++;
		for (size_t i = 1; i < 257; i++)
			place[i] += place[i - 1];
		for (size_t i = 0; i < n; i++)
			spare[place[keys[i].value >> shift & 0xff]++] = keys[i];
		memcpy(keys, spare, n * sizeof(*keys));
	}
}

static int sort(struct hp_symtab *st)
{
	size_t n = st->syms.n, end;
	struct key *keys = calloc(n, 2 * sizeof(*keys));
	struct hp_sym *sorted = calloc(n, sizeof(*sorted));
	uint64_t highest = 0;

	if (!keys || !sorted) {
		free(keys);
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		keys[i] = (struct key){st->syms.v[i].value, (uint32_t)i};
		highest |= keys[i].value;
	}
	sort_keys(keys, keys + n, n, highest);
	for (size_t i = 0; i < n; i++)
		sorted[i] = st->syms.v[keys[i].index];
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && sorted[end].value == sorted[i].value;)
			end++;
		if (end - i > 1)
			qsort(sorted + i, end - i, sizeof(*sorted), compare);
	}
	free(keys);
	free(st->syms.v);
	st->syms.v = sorted;
	st->syms.room = n;
	return 0;
}

int hp_symtab_sort(struct hp_symtab *st)
{
	struct hp_sym *v;
	size_t kept = 0;

	if (!st->syms.n)
		return 0;
	if (sort(st))
		return -ENOMEM;
	v = st->syms.v;
	for (size_t i = 1; i < st->syms.n; i++) {
		if (same_thing(&v[kept], &v[i]))
			merge_into(&v[kept], &v[i]);
		else
			v[++kept] = v[i];
	}
	st->syms.n = kept + 1;
	return 0;
}
