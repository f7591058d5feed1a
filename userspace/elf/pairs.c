/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/patchinfo.h"

int hp_pairs_add(struct hp_pairs *p, const char *key, const char *value)
{
	struct hp_pair pair = {strdup(key), strdup(value)}, *slot = NULL;

	if (pair.key && pair.value)
		slot = HP_ARRAY_ADD(p);
	if (!slot) {
		free(pair.key);
		free(pair.value);
		return -ENOMEM;
	}
	*slot = pair;
	return 0;
}

int hp_pairs_set(struct hp_pairs *p, const char *key, const char *value)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].key, key)) {
			char *copy = strdup(value);

			if (!copy)
				return -ENOMEM;
			free(p->v[i].value);
			p->v[i].value = copy;
			return 0;
		}
	return hp_pairs_add(p, key, value);
}

const char *hp_pairs_get(const struct hp_pairs *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].key, key))
			return p->v[i].value;
	return NULL;
}

void hp_pairs_free(struct hp_pairs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].key);
		free(p->v[i].value);
	}
	HP_ARRAY_FREE(p);
}
