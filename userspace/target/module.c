/* SPDX-License-Identifier: MIT */
/*
 * target/module.c – from mappings to modules.
 *
 * A module is a file with an executable mapping, seen at one bias: one file may be there twice
 * (dlmopen), or be mapped as plain data by somebody who only reads it.  A module that stays keeps
 * its place in the array, or, when the array must move, leaves a copy behind: plans point to it.
 */
#include "target/module.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/template.h"
#include "base/array.h"
#include "base/fd.h"
#include "base/log.h"
#include "elf/cfi.h"
#include "elf/debug_file.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/linkmap.h"

#define DELETED " (deleted)"
#define SPARE	16 /* modules that may come before the array moves */

typedef HP_ARRAY(struct hp_module) module_array;

static void module_free(struct hp_module *m)
{
	hp_cfi_free(m->cfi);
	hp_symtab_free(m->symtab);
	hp_symtab_free(m->fewer);
	if (m->debug)
		hp_image_free(m->debug);
	if (m->image)
		hp_image_free(m->image);
	free(m->path);
	memset(m, 0, sizeof(*m));
}

void hp_modules_free(struct hp_target *t)
{
	for (size_t i = 0; i < t->n_modules; i++)
		module_free(&t->module[i]);
	free(t->module);
	t->module = NULL;
	t->n_modules = 0;
	for (size_t i = 0; i < t->retired.n; i++)
		free(t->retired.v[i]);
	HP_ARRAY_FREE(&t->retired);
}

int hp_map_open(pid_t pid, const struct hp_map *m)
{
	char path[80];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)pid,
		       (unsigned long long)m->lo, (unsigned long long)m->hi);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* The bias under which @map shows the file: the segment that has its offset tells. */
static bool bias_of(const struct hp_image *im, const struct hp_map *map, hp_addr *ret)
{
	for (size_t i = 0; i < im->n_phdrs; i++) {
		const Elf64_Phdr *ph = &im->phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		if (map->offset < HP_PAGE_DOWN(ph->p_offset) ||
		    map->offset >= ph->p_offset + ph->p_filesz)
			continue;
		*ret = map->lo - (ph->p_vaddr - ph->p_offset + map->offset);
		return true;
	}
	return false;
}

static struct hp_range span_of(const struct hp_image *im, hp_addr bias)
{
	struct hp_range r = {~0ull, 0};

	for (size_t i = 0; i < im->n_phdrs; i++) {
		const Elf64_Phdr *ph = &im->phdr[i];

		if (ph->p_type != PT_LOAD)
			continue;
		if (HP_PAGE_DOWN(ph->p_vaddr) < r.lo)
			r.lo = HP_PAGE_DOWN(ph->p_vaddr);
		if (HP_PAGE_UP(ph->p_vaddr + ph->p_memsz) > r.hi)
			r.hi = HP_PAGE_UP(ph->p_vaddr + ph->p_memsz);
	}
	return (struct hp_range){r.lo + bias, r.hi + bias};
}

static char *copy_path(const char *path)
{
	size_t n = strlen(path), d = strlen(DELETED);

	if (n > d && strcmp(path + n - d, DELETED) == 0)
		n -= d;
	return strndup(path, n);
}

static bool is_elf(int fd)
{
	char magic[SELFMAG];
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       hp_pread_all(fd, magic, sizeof(magic), 0) == 0 &&
	       memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static int open_image(const struct hp_target *t, const struct hp_map *map, const char *path,
		      struct hp_module *ret, struct hp_err *err)
{
	hp_autoclose int fd = hp_map_open(t->pid, map);
	struct stat st;

	if (fd < 0 || !is_elf(fd) || fstat(fd, &st))
		return hp_err_set(err, -HP_E_BAD_ELF, "it is no ELF file");
	if (hp_image_open(&ret->image, HP_TAKE_FD(fd), path, err) < 0)
		return err->code;
	ret->exe = st.st_dev == t->exe_dev && st.st_ino == t->exe_ino;
	hp_reader_join(t->reader, ret->image);
	return 0;
}

/* @same: another module of that file, or NULL.  1: it is a module; 0: it is none. */
static int module_open(const struct hp_target *t, const struct hp_map *map,
		       const struct hp_module *same, struct hp_module *ret)
{
	struct hp_module m = {.dev = map->dev, .ino = map->ino, .path = copy_path(map->path)};
	struct hp_err why = {0};

	if (!m.path)
		return -ENOMEM;
	if (same) {
		m.exe = same->exe;
		m.image = hp_image_share(same->image);
		hp_reader_join(t->reader, m.image); /* anew: walks do not know it here yet */
	}
	if ((!same && open_image(t, map, m.path, &m, &why) < 0) || !bias_of(m.image, map, &m.bias)) {
		hp_debug("target: %s is left out: %s", m.path, why.text);
		module_free(&m);
		return 0;
	}
	m.name = strrchr(m.path, '/') ? strrchr(m.path, '/') + 1 : m.path;
	m.span = span_of(m.image, m.bias);
	*ret = m;
	return 1;
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

/* hp's path blocks are one file, which is there once for each patch. */
static const struct hp_module *of_same_file(const struct hp_module *v, size_t n,
					    const struct hp_map *map)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].image && v[i].dev == map->dev && v[i].ino == map->ino)
			return &v[i];
	return NULL;
}

static int add(module_array *fresh, const struct hp_target *t, const struct hp_map *map)
{
	const struct hp_module *same = of_same_file(fresh->v, fresh->n, map)
					       ?: of_same_file(t->module, t->n_modules, map);
	struct hp_module m, *slot;
	int r = module_open(t, map, same, &m);

	if (r <= 0)
		return r;
	slot = HP_ARRAY_ADD(fresh);
	if (!slot) {
		module_free(&m);
		return -ENOMEM;
	}
	*slot = m;
	return 0;
}

/* Marks in @kept what is still mapped, and opens what is new. */
static int compare(const struct hp_target *t, bool *kept, module_array *fresh)
{
	int r = 0;

	for (size_t i = 0; i < t->maps.n && r == 0; i++) {
		const struct hp_map *map = &t->maps.v[i];
		struct hp_module *m;

		/* hp's own code is in no file, and there may be much of it. */
		if (!(map->prot & PROT_EXEC) || map->path[0] != '/' ||
		    !strncmp(map->path, HP_OWN_MEMFD, strlen(HP_OWN_MEMFD)))
			continue;
		m = known(t->module, t->n_modules, map);
		if (m)
			kept[m - t->module] = true;
		else if (!known(fresh->v, fresh->n, map))
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
		module_free(&t->module[i]);
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

int hp_modules_update(struct hp_target *t, struct hp_err *err)
{
	module_array fresh = {0};
	bool *kept = calloc(t->n_modules + 1, sizeof(*kept));
	int r = kept ? compare(t, kept, &fresh) : -ENOMEM;

	if (r == 0)
		r = take_over(t, kept, &fresh);
	for (size_t i = 0; i < fresh.n; i++)
		module_free(&fresh.v[i]);
	HP_ARRAY_FREE(&fresh);
	free(kept);
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

	return r < 0 ? r : hp_modules_update(t, err);
}

struct hp_module *hp_target_exe(struct hp_target *t)
{
	return t->n_modules && t->module[0].exe ? &t->module[0] : NULL;
}

struct hp_module *hp_target_module_at(struct hp_target *t, hp_addr a)
{
	for (size_t i = 0; i < t->n_modules; i++)
		if (hp_in(t->module[i].span, a))
			return &t->module[i];
	return NULL;
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

int hp_module_symtab(struct hp_module *m, const struct hp_symtab **ret, struct hp_err *err)
{
	int r = 0;

	if (!m->symtab) {
		/* A debug file that cannot be read is as good as none, its reader's death is not. */
		if (!m->debug && hp_debug_file_open(&m->debug, m->image, NULL) < 0)
			m->debug = NULL;
		r = hp_symtab_load(&m->symtab, m->image, m->debug, err);
	}
	if (r == 0)
		*ret = m->symtab;
	return r;
}

int hp_module_fetch_symtab(struct hp_module *m, struct hp_err *err)
{
	struct hp_symtab *more;
	int r;

	if (m->debug || m->fetched)
		return 0;
	m->fetched = true;
	r = hp_debug_file_fetch(&m->debug, m->image, err);
	if (r < 0 || !m->debug)
		return r;
	r = hp_symtab_load(&more, m->image, m->debug, err);
	if (r < 0)
		return r;
	m->fewer = m->symtab; /* somebody may have a symbol of it in hand */
	m->symtab = more;
	return 1;
}

int hp_module_cfi(struct hp_module *m, const struct hp_cfi **ret, struct hp_err *err)
{
	int r = m->cfi ? 0 : hp_cfi_open(&m->cfi, m->image, err);

	if (r == 0)
		*ret = m->cfi;
	return r;
}

int hp_module_each_text(const struct hp_module *m,
			int (*fn)(void *arg, hp_addr at, const uint8_t *bytes, size_t n), void *arg)
{
	for (size_t i = 0; i < m->image->n_phdrs; i++) {
		const Elf64_Phdr *ph = &m->image->phdr[i];
		size_t n = ph->p_filesz;
		const uint8_t *bytes;
		int r;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || n == 0)
			continue;
		bytes = hp_image_at(m->image, ph->p_vaddr, n);
		r = bytes ? fn(arg, ph->p_vaddr + m->bias, bytes, n) : 0;
		if (r)
			return r;
	}
	return 0;
}

static bool named(const struct hp_module *m, const char *prefix)
{
	const char *name = m->image->soname ? m->image->soname : m->name;

	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* A patch is named by its SHA-256. */
bool hp_module_is_of_hp(const struct hp_module *m)
{
	size_t n = 0;

	if (!strncmp(m->name, HP_TEMPLATE_FILES, strlen(HP_TEMPLATE_FILES)))
		return true;
	while (isxdigit((unsigned char)m->name[n]))
		n++;
	return n == 64 && !strncmp(m->name + n, ".so", 3);
}

bool hp_module_is_loader(const struct hp_module *m)
{
	return named(m, "ld-linux") || named(m, "ld-musl") || named(m, "ld.so") ||
	       named(m, "libdl.so");
}

bool hp_module_is_libc(const struct hp_module *m)
{
	return named(m, "libc.so") || named(m, "libc.musl") || named(m, "libpthread.so");
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
