/* SPDX-License-Identifier: MIT */
/*
 * One array sorted by (value, name), so that what two tables say of one thing comes together and is
 * merged; a hash of the names whose chains follow the array's order, so that equal values are
 * neighbours there too.  Every step is at most n log n, whatever the file says.
 */
#include "elf/symtab_table.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

static bool is_function(const struct hp_sym *s)
{
	return s->type == STT_FUNC || s->type == STT_GNU_IFUNC;
}

/* FNV-1a. */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 16777619u;
	return h;
}

static int index_names(struct hp_symtab *st)
{
	size_t n = 16;

	while (n < st->syms.n)
		n *= 2;
	st->mask = (uint32_t)(n - 1);
	st->head = malloc(n * sizeof(*st->head));
	st->next = malloc((st->syms.n + 1) * sizeof(*st->next));
	if (!st->head || !st->next)
		return -ENOMEM;
	memset(st->head, 0xff, n * sizeof(*st->head));
	for (size_t i = st->syms.n; i-- > 0;) {
		uint32_t *head = &st->head[hash(st->syms.v[i].name) & st->mask];

		st->next[i] = *head;
		*head = (uint32_t)i;
	}
	return 0;
}

static int index_functions(struct hp_symtab *st)
{
	uint64_t reach = 0;

	st->func = malloc((st->syms.n + 1) * sizeof(*st->func));
	st->reach = malloc((st->syms.n + 1) * sizeof(*st->reach));
	if (!st->func || !st->reach)
		return -ENOMEM;
	for (size_t i = 0; i < st->syms.n; i++) {
		const struct hp_sym *s = &st->syms.v[i];

		if (!is_function(s))
			continue;
		if (s->value + s->size > reach)
			reach = s->value + s->size;
		st->func[st->n_funcs] = (uint32_t)i;
		st->reach[st->n_funcs++] = reach;
	}
	return 0;
}

int hp_symtab_load(struct hp_symtab **ret, const struct hp_image *im, const struct hp_image *debug,
		   struct hp_err *err)
{
	struct hp_symtab *st = calloc(1, sizeof(*st));
	bool asks = hp_reader_of(im);
	int r;

	if (!st)
		return hp_err_sys(err, ENOMEM, "%s: reading its symbols", im->name);
	r = asks ? hp_symtab_ask(st, im, debug, err) : hp_symtab_read(st, im, debug, err);
	if (r) {
		hp_symtab_free(st);
		return r;
	}
	if ((!asks && hp_symtab_sort(st)) || index_names(st) || index_functions(st)) {
		hp_symtab_free(st);
		return hp_err_sys(err, ENOMEM, "%s: reading its symbols", im->name);
	}
	*ret = st;
	return 0;
}

void hp_symtab_free(struct hp_symtab *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->owned.n; i++)
		free(st->owned.v[i]);
	HP_ARRAY_FREE(&st->owned);
	free(st->text);
	HP_ARRAY_FREE(&st->syms);
	free(st->head);
	free(st->next);
	free(st->func);
	free(st->reach);
	free(st);
}

/* --- look-up ------------------------------------------------------------------------------------ */

static uint32_t first_of(const struct hp_symtab *st, const char *name)
{
	return st->head[hash(name) & st->mask];
}

static bool file_matches(const struct hp_sym *s, const char *file)
{
	size_t have, want;

	if (!file)
		return true;
	if (!s->file)
		return false;
	have = strlen(s->file);
	want = strlen(file);
	if (have < want || strcmp(s->file + have - want, file))
		return false;
	return have == want || s->file[have - want - 1] == '/';
}

size_t hp_symtab_find(const struct hp_symtab *st, const char *name, const char *file,
		      const struct hp_sym **out, size_t max)
{
	const struct hp_sym *last = NULL;
	size_t n = 0;

	for (uint32_t i = first_of(st, name); i != HP_SYMTAB_NONE; i = st->next[i]) {
		const struct hp_sym *s = &st->syms.v[i];

		if (strcmp(s->name, name) || !file_matches(s, file))
			continue;
		if (last && last->value == s->value &&
		    (last->type == STT_TLS) == (s->type == STT_TLS))
			continue;
		if (n < max)
			out[n] = s;
		n++;
		last = s;
	}
	return n;
}

const struct hp_sym *hp_symtab_func_at(const struct hp_symtab *st, uint64_t vaddr)
{
	size_t lo = 0, hi = st->n_funcs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (st->syms.v[st->func[mid]].value <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* The nearest start that covers it; below a reach that ends earlier nothing does. */
	while (lo-- > 0 && st->reach[lo] > vaddr) {
		const struct hp_sym *s = &st->syms.v[st->func[lo]];

		if (vaddr - s->value < s->size)
			return s;
	}
	return NULL;
}

/* The first symbol whose value is not below @value. */
static size_t lower_bound(const struct hp_symtab *st, uint64_t value)
{
	size_t lo = 0, hi = st->syms.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (st->syms.v[mid].value < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t hp_symtab_aliases(const struct hp_symtab *st, uint64_t vaddr, const struct hp_sym **out,
			 size_t max)
{
	const struct hp_sym *v = st->syms.v;
	size_t n = 0;

	for (size_t i = lower_bound(st, vaddr); i < st->syms.n && v[i].value == vaddr; i++) {
		if (!is_function(&v[i]) || (i && v[i - 1].value == vaddr &&
					    is_function(&v[i - 1]) &&
					    !strcmp(v[i - 1].name, v[i].name)))
			continue; /* another version of the same name */
		if (n < max)
			out[n] = &v[i];
		n++;
	}
	return n;
}

size_t hp_symtab_prefix(const struct hp_symtab *st, const char *prefix, const struct hp_sym **out,
			size_t max)
{
	size_t len = strlen(prefix), n = 0;

	for (size_t i = 0; i < st->syms.n; i++) {
		if (strncmp(st->syms.v[i].name, prefix, len))
			continue;
		if (n < max)
			out[n] = &st->syms.v[i];
		n++;
	}
	return n;
}

size_t hp_symtab_all(const struct hp_symtab *st, const struct hp_sym **ret)
{
	*ret = st->syms.v;
	return st->syms.n;
}
