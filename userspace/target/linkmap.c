/* SPDX-License-Identifier: MIT */
/*
 * target/linkmap.c – r_debug and link_map (link.h), the interface that loaders keep for debuggers;
 * glibc and musl alike.  The list is the target's own memory: it may lie, so it only orders.
 */
#include "target/linkmap.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>

#include "elf/image.h"

#define LINKS_MAX 4096

struct rank {
	struct hp_module m;
	size_t order;
};

static hp_addr dynamic_of(const struct hp_module *m)
{
	for (size_t i = 0; i < m->image->n_phdrs; i++)
		if (m->image->phdr[i].p_type == PT_DYNAMIC)
			return m->image->phdr[i].p_vaddr + m->bias;
	return 0;
}

/* Head of the loader's list, or 0. */
static hp_addr list_head(const struct hp_target *t, const struct hp_module *exe)
{
	hp_addr at = dynamic_of(exe);
	struct r_debug debug;

	for (size_t i = 0; at && i < 256; i++, at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn d;

		if (hp_mem_read(t, at, &d, sizeof(d), NULL) < 0 || d.d_tag == DT_NULL)
			return 0;
		if (d.d_tag != DT_DEBUG)
			continue;
		if (!d.d_un.d_ptr || hp_mem_read(t, d.d_un.d_ptr, &debug, sizeof(debug), NULL) < 0)
			return 0;
		return (hp_addr)(uintptr_t)debug.r_map;
	}
	return 0;
}

static void rank_by_list(const struct hp_target *t, struct rank *rank, size_t n,
			 const struct hp_module *exe)
{
	hp_addr at = list_head(t, exe);

	for (size_t k = 1; at && k < LINKS_MAX; k++) {
		struct link_map link;

		if (hp_mem_read(t, at, &link, sizeof(link), NULL) < 0)
			return;
		for (size_t i = 0; i < n; i++)
			if (dynamic_of(&rank[i].m) == (hp_addr)(uintptr_t)link.l_ld && link.l_ld)
				rank[i].order = k;
		at = (hp_addr)(uintptr_t)link.l_next;
	}
}

static int compare(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->m.exe != y->m.exe)
		return x->m.exe ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->m.bias < y->m.bias ? -1 : x->m.bias > y->m.bias;
}

void hp_linkmap_sort(struct hp_target *t, size_t first)
{
	size_t n = t->n_modules - first;
	struct rank *rank = calloc(n + 1, sizeof(*rank));
	const struct hp_module *exe = NULL;

	if (!rank)
		return; /* the order of addresses then */
	for (size_t i = 0; i < t->n_modules; i++)
		if (t->module[i].exe)
			exe = &t->module[i];
	for (size_t i = 0; i < n; i++)
		rank[i] = (struct rank){t->module[first + i], LINKS_MAX};
	if (exe)
		rank_by_list(t, rank, n, exe);
	qsort(rank, n, sizeof(*rank), compare);
	for (size_t i = 0; i < n; i++)
		t->module[first + i] = rank[i].m;
	free(rank);
}
