/* SPDX-License-Identifier: MIT */
/*
 * "Did you mean": the edit distance that counts a transposition as one slip (optimal string
 * alignment).  Bounded by the length of a name and by a distance beyond which a person meant
 * something else.
 */
#include "elf/symtab.h"

#include <string.h>

#define MAX_NAME  128
#define MAX_FOUND 16

struct match {
	const char *name;
	unsigned distance;
};

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* The distance, or @limit + 1 when it is more. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m, unsigned limit)
{
	unsigned rows[3][MAX_NAME + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned best = now[0] = (unsigned)i, *spare;

		for (size_t j = 1; j <= m; j++) {
			unsigned d = min3(last[j] + 1, now[j - 1] + 1,
					  last[j - 1] + (a[i - 1] != b[j - 1]));

			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			now[j] = d;
			if (d < best)
				best = d;
		}
		if (best > limit)
			return limit + 1;
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

/* About one letter in four, three at most; of one or two letters everything is a slip away. */
static unsigned slip_limit(size_t n)
{
	return n < 3 ? 0 : n < 6 ? 1 : n < 12 ? 2 : 3;
}

static size_t insert(struct match *found, size_t n, size_t max, struct match m)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(found[i].name, m.name))
			return n;
	while (at < n && (found[at].distance < m.distance ||
			  (found[at].distance == m.distance && strcmp(found[at].name, m.name) < 0)))
		at++;
	if (at == max)
		return n;
	if (n == max)
		n--;
	memmove(found + at + 1, found + at, (n - at) * sizeof(*found));
	found[at] = m;
	return n + 1;
}

size_t hp_symtab_similar(const struct hp_symtab *st, const char *name, const char **out, size_t max)
{
	struct match found[MAX_FOUND];
	const struct hp_sym *v;
	size_t n_all = hp_symtab_all(st, &v), len = strnlen(name, MAX_NAME + 1), n = 0;
	unsigned limit = slip_limit(len);

	if (max > MAX_FOUND)
		max = MAX_FOUND;
	if (len > MAX_NAME || !max)
		return 0;
	for (size_t i = 0; i < n_all; i++) {
		size_t other = strnlen(v[i].name, len + limit + 1);
		struct match m = {.name = v[i].name};

		if (other > MAX_NAME || other > len + limit || other + limit < len)
			continue;
		m.distance = distance(name, len, v[i].name, other, limit);
		if (m.distance && m.distance <= limit)
			n = insert(found, n, max, m);
	}
	for (size_t i = 0; i < n; i++)
		out[i] = found[i].name;
	return n;
}
