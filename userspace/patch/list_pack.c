/* SPDX-License-Identifier: MIT */
/*
 * A list as bytes, from one process of hp's to another that was forked from the same: structures as they are
 * in memory, and behind each what it points to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "patch/list.h"

static int put_pairs(struct hp_buf *to, const struct hp_pairs *pairs)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (hp_buf_add(to, pairs->v[i].key, strlen(pairs->v[i].key) + 1) < 0 ||
		    hp_buf_add(to, pairs->v[i].value, strlen(pairs->v[i].value) + 1) < 0)
			return -ENOMEM;
	return 0;
}

static int put_patch(struct hp_buf *to, const struct hp_patch_info *p)
{
	const struct hp_pairs *const map[] = {&p->replace, &p->ref, &p->meta, &p->seal};
	int r = hp_buf_add(to, p, sizeof(*p));

	if (r >= 0)
		r = hp_buf_add(to, p->site, p->n_sites * sizeof(*p->site));
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]) && r >= 0; i++)
		r = put_pairs(to, map[i]);
	return r;
}

int hp_list_pack(struct hp_buf *to, const struct hp_patch_list *list)
{
	int r = hp_buf_add(to, list, sizeof(*list));

	for (size_t i = 0; i < list->n && r >= 0; i++)
		r = put_patch(to, &list->v[i]);
	return r < 0 ? r
		     : hp_buf_add(to, list->unknown.v, list->unknown.n * sizeof(*list->unknown.v));
}

struct bytes {
	const char *v;
	size_t n;
};

static bool get(struct bytes *from, void *to, size_t n)
{
	if (n > from->n)
		return false;
	if (n)
		memcpy(to, from->v, n);
	from->v += n;
	from->n -= n;
	return true;
}

static const char *get_text(struct bytes *from)
{
	const char *s = from->v;
	size_t n = strnlen(s, from->n);

	if (n == from->n)
		return NULL;
	from->v += n + 1;
	from->n -= n + 1;
	return s;
}

static int get_pairs(struct bytes *from, size_t n, struct hp_pairs *ret)
{
	for (size_t i = 0; i < n; i++) {
		const char *key = get_text(from), *value = key ? get_text(from) : NULL;

		if (!value)
			return -EBADMSG;
		if (hp_pairs_add(ret, key, value) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int get_sites(struct bytes *from, size_t n, struct hp_patch_info *p)
{
	if (n > from->n / sizeof(*p->site))
		return -EBADMSG;
	p->site = calloc(n + 1, sizeof(*p->site));
	if (!p->site)
		return -ENOMEM;
	(void)get(from, p->site, n * sizeof(*p->site)); /* they are there */
	p->n_sites = n;
	for (size_t i = 0; i < n; i++)
		p->site[i].notes = NULL; /* a list has none */
	return 0;
}

static int get_patch(struct bytes *from, struct hp_patch_info *p)
{
	struct hp_patch_info said;
	struct hp_pairs *const map[] = {&p->replace, &p->ref, &p->meta, &p->seal};
	int r;

	if (!get(from, &said, sizeof(said)))
		return -EBADMSG;
	*p = said;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		*map[i] = (struct hp_pairs){0};
	p->site = NULL;
	p->n_sites = 0;
	if ((r = get_sites(from, said.n_sites, p)) < 0 ||
	    (r = get_pairs(from, said.replace.n, &p->replace)) < 0 ||
	    (r = get_pairs(from, said.ref.n, &p->ref)) < 0 ||
	    (r = get_pairs(from, said.meta.n, &p->meta)) < 0)
		return r;
	return get_pairs(from, said.seal.n, &p->seal);
}

static int get_unknown(struct bytes *from, size_t n, struct hp_patch_list *list)
{
	for (size_t i = 0; i < n; i++) {
		struct hp_unknown_info *u = HP_ARRAY_ADD(&list->unknown);

		if (!u)
			return -ENOMEM;
		*u = (struct hp_unknown_info){0};
		if (!get(from, u, sizeof(*u)))
			return -EBADMSG;
	}
	return 0;
}

int hp_list_unpack(const char *bytes, size_t n, struct hp_patch_list *ret)
{
	struct bytes from = {bytes, n};
	struct hp_patch_list said, list = {0};
	int r = get(&from, &said, sizeof(said)) ? 0 : -EBADMSG;

	for (size_t i = 0; r >= 0 && i < said.n; i++) {
		struct hp_patch_info *p = HP_ARRAY_ADD(&list);

		if (p)
			*p = (struct hp_patch_info){0};
		r = p ? get_patch(&from, p) : -ENOMEM;
	}
	if (r >= 0)
		r = get_unknown(&from, said.unknown.n, &list);
	if (r >= 0 && from.n)
		r = -EBADMSG;
	if (r < 0)
		hp_patch_list_free(&list);
	else
		*ret = list;
	return r;
}
