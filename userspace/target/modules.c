/* SPDX-License-Identifier: MIT */
/*
 * target/modules.c – the modules of a target, as its maps say.
 *
 * One file may be there twice (dlmopen), or be mapped as plain data by somebody who only reads it.
 * A module that stays keeps its place in the array, or, when the array must move, leaves a copy
 * behind: plans point to it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/linkmap.h"
#include "target/mapped.h"
#include "target/module.h"

#define SPARE 16 /* modules that may come before the array moves */
#define FEW   16 /* files of hp's, two a patch: so many are opened at once, for a reader that is made
		     later costs more */

typedef HP_ARRAY(struct hp_module) module_array;

void hp_modules_free(struct hp_target *t)
{
	for (size_t i = 0; i < t->n_modules; i++)
		hp_module_free(&t->module[i]);
	free(t->module);
	t->module = NULL;
	t->n_modules = 0;
	for (size_t i = 0; i < t->retired.n; i++)
		free(t->retired.v[i]);
	HP_ARRAY_FREE(&t->retired);
}

static bool same_place(const struct hp_module *m, const struct hp_map *map)
{
	return m->dev == map->dev && m->ino == map->ino && hp_in(m->span, map->lo);
}

static struct hp_module *known(struct hp_module *v, size_t n, const struct hp_map *map)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].image && same_place(&v[i], map))
			return &v[i];
	return NULL;
}

static const struct hp_module *of_file(const struct hp_module *v, size_t n, const struct hp_map *map,
				       const struct hp_mapped_id *id)
{
	struct hp_mapped_id has;

	for (size_t i = 0; i < n; i++)
		if (v[i].image && v[i].dev == map->dev && v[i].ino == map->ino &&
		    hp_mapped_id_of_fd(v[i].image->fd, &has) == 0 && hp_mapped_same(&has, id))
			return &v[i];
	return NULL;
}

/* hp's path blocks are one file, which is there once for each patch. */
static const struct hp_module *of_same_file(const module_array *fresh, const struct hp_target *t,
					    const struct hp_map *map)
{
	struct hp_mapped_id id;

	if (hp_mapped_id(t->pid, map, &id) < 0)
		return NULL;
	return of_file(fresh->v, fresh->n, map, &id) ?: of_file(t->module, t->n_modules, map, &id);
}

static int add(module_array *fresh, const struct hp_target *t, const struct hp_map *map)
{
	const struct hp_module *same = of_same_file(fresh, t, map);
	struct hp_module m, *slot;
	int r = hp_module_open(t, map, same, &m);

	if (r <= 0)
		return r;
	slot = HP_ARRAY_ADD(fresh);
	if (!slot) {
		hp_module_free(&m);
		return -ENOMEM;
	}
	*slot = m;
	return 0;
}

/* hp's own code is in no file, and there may be much of it. */
static bool may_be_module(const struct hp_map *map)
{
	return map->prot & PROT_EXEC && map->path[0] == '/' &&
	       strncmp(map->path, HP_OWN_MEMFD, strlen(HP_OWN_MEMFD)) != 0;
}

/* To open a hundred patches costs as much as a load does, and most of them nobody asks for. */
static bool left_out(const struct hp_target *t, const struct hp_map *map, size_t *seen)
{
	return hp_is_file_of_hp(strrchr(map->path, '/') + 1) && (*seen)++ >= FEW && !t->all_wanted;
}

/* Marks in @kept what is still mapped, and opens what is new. */
static int compare(const struct hp_target *t, bool *kept, module_array *fresh)
{
	size_t seen = 0;
	int r = 0;

	for (size_t i = 0; i < t->maps.n && r == 0; i++) {
		const struct hp_map *map = &t->maps.v[i];
		struct hp_module *m;
		bool out;

		if (!may_be_module(map))
			continue;
		out = left_out(t, map, &seen);
		m = known(t->module, t->n_modules, map);
		if (m)
			kept[m - t->module] = true;
		else if (!out && !known(fresh->v, fresh->n, map))
			r = add(fresh, t, map);
	}
	return r;
}

/* A new array with what is kept; the old one stays behind, for pointers into it. */
static int move(struct hp_target *t, const bool *kept, size_t n_fresh)
{
	size_t room = t->n_modules + n_fresh + SPARE, n = 0;
	struct hp_module *v = calloc(room, sizeof(*v)), **old;

	old = v && t->module ? HP_ARRAY_ADD(&t->retired) : NULL;
	if (!v || (t->module && !old)) {
		free(v);
		return -ENOMEM;
	}
	for (size_t i = 0; old && i < t->n_modules; i++) {
		if (kept[i]) {
			v[n++] = t->module[i];
			continue;
		}
		hp_module_free(&t->module[i]);
		hp_reader_left(t->reader);
	}
	if (old)
		*old = t->module;
	t->module = v;
	t->n_modules = n;
	t->modules_room = room;
	return 0;
}

static int take_over(struct hp_target *t, const bool *kept, module_array *fresh)
{
	bool all = true;
	int r = 0;

	for (size_t i = 0; i < t->n_modules; i++)
		all &= kept[i];
	if (all && fresh->n == 0)
		return 0;
	if (!all || t->n_modules + fresh->n > t->modules_room)
		r = move(t, kept, fresh->n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < fresh->n; i++)
		t->module[t->n_modules + i] = fresh->v[i];
	t->n_modules += fresh->n;
	/* What was loaded later is searched later. */
	hp_linkmap_sort(t, t->n_modules - fresh->n);
	fresh->n = 0;
	t->modules_seen++;
	return 0;
}

/* Frees @kept, and what of @fresh was not taken over. */
static int take_over_all(struct hp_target *t, bool *kept, module_array *fresh, int r)
{
	if (r == 0)
		r = take_over(t, kept, fresh);
	for (size_t i = 0; i < fresh->n; i++)
		hp_module_free(&fresh->v[i]);
	HP_ARRAY_FREE(fresh);
	free(kept);
	return r;
}

/* Images of modules that stay are kept. */
static int update(struct hp_target *t, struct hp_err *err)
{
	module_array fresh = {0};
	bool *kept = calloc(t->n_modules + 1, sizeof(*kept));
	int r = take_over_all(t, kept, &fresh, kept ? compare(t, kept, &fresh) : -ENOMEM);

	if (r < 0)
		return hp_err_sys(err, -r, "modules of process %d", (int)t->pid);
	if (!hp_target_exe(t))
		return hp_err_set(err, -HP_E_GONE,
				  "process %d (%s) has no program mapped: it is exiting", (int)t->pid,
				  t->comm);
	return 0;
}

int hp_target_refresh(struct hp_target *t, struct hp_err *err)
{
	int r = hp_maps_read(&t->maps, t->pid, err);

	return r < 0 ? r : update(t, err);
}

int hp_target_refresh_in(struct hp_target *t, const struct hp_range *in, size_t n, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = hp_maps_reread(&t->maps, t->pid, in[i], err);
	return r < 0 ? r : update(t, err);
}

int hp_modules_open_all(struct hp_target *t, struct hp_err *err)
{
	t->all_wanted = true;
	return update(t, err);
}

struct hp_module *hp_target_exe(struct hp_target *t)
{
	return t->n_modules && t->module[0].exe ? &t->module[0] : NULL;
}

static struct hp_module *find(const struct hp_target *t, hp_addr a)
{
	for (size_t i = 0; i < t->n_modules; i++)
		if (hp_in(t->module[i].span, a))
			return &t->module[i];
	return NULL;
}

static hp_addr distance(const struct hp_map *m, hp_addr a)
{
	return a < m->lo ? m->lo - a : a - m->lo;
}

/* Of the file at @a what is mapped as code beside it, if it was left out. */
static const struct hp_map *left_out_at(const struct hp_target *t, hp_addr a)
{
	const struct hp_map *at = hp_maps_find(&t->maps, a), *best = NULL;

	if (!at || at->path[0] != '/' || !hp_is_file_of_hp(strrchr(at->path, '/') + 1))
		return NULL;
	for (size_t i = 0; i < t->maps.n; i++) {
		const struct hp_map *m = &t->maps.v[i];

		if (may_be_module(m) && m->dev == at->dev && m->ino == at->ino &&
		    (!best || distance(m, a) < distance(best, a)))
			best = m;
	}
	return best && !known(t->module, t->n_modules, best) ? best : NULL;
}

static int open_left_out(struct hp_target *t, const struct hp_map *map)
{
	bool *kept = calloc(t->n_modules + 1, sizeof(*kept));
	module_array fresh = {0};
	int r = kept ? add(&fresh, t, map) : -ENOMEM;

	for (size_t i = 0; kept && i < t->n_modules; i++)
		kept[i] = true;
	return take_over_all(t, kept, &fresh, r);
}

struct hp_module *hp_target_module_at(struct hp_target *t, hp_addr a)
{
	struct hp_module *m = find(t, a);
	const struct hp_map *map = m ? NULL : left_out_at(t, a);

	return map && open_left_out(t, map) == 0 ? find(t, a) : m;
}

struct hp_module *hp_target_module_named(struct hp_target *t, const char *name)
{
	for (size_t i = 0; i < t->n_modules; i++) {
		const struct hp_module *m = &t->module[i];

		if (strcmp(m->name, name) == 0 || strcmp(m->path, name) == 0 ||
		    (m->image->soname && strcmp(m->image->soname, name) == 0))
			return &t->module[i];
	}
	return NULL;
}

const char *hp_target_describe(struct hp_target *t, hp_addr a, char *buf, size_t n)
{
	struct hp_module *m = hp_target_module_at(t, a);
	const struct hp_map *map = hp_maps_find(&t->maps, a);
	const struct hp_symtab *st;
	const struct hp_sym *f = NULL;

	if (m && hp_module_symtab(m, &st, NULL) == 0)
		f = hp_symtab_func_at(st, a - m->bias);
	if (f)
		(void)snprintf(buf, n, "%s (%s+0x%llx)", f->name, m->name,
			       (unsigned long long)(a - m->bias));
	else if (m)
		(void)snprintf(buf, n, "0x%llx (%s+0x%llx)", (unsigned long long)a, m->name,
			       (unsigned long long)(a - m->bias));
	else
		(void)snprintf(buf, n, "0x%llx%s%s%s", (unsigned long long)a,
			       map && map->path[0] ? " (" : "", map ? map->path : "",
			       map && map->path[0] ? ")" : "");
	return buf;
}
