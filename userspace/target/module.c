/* SPDX-License-Identifier: MIT */
/* A module is a file with an executable mapping, seen at one bias. */
#include "target/module.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
#include "target/mapped.h"

#define DELETED " (deleted)"

void hp_module_free(struct hp_module *m)
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
	hp_autoclose int fd = hp_mapped_open(t->pid, map);
	struct stat st;

	if (fd < 0 || !is_elf(fd) || fstat(fd, &st))
		return hp_err_set(err, -HP_E_BAD_ELF, "it is no ELF file");
	if (hp_image_open(&ret->image, HP_TAKE_FD(fd), path, err) < 0)
		return err->code;
	ret->exe = st.st_dev == t->exe_dev && st.st_ino == t->exe_ino;
	hp_reader_join(t->reader, ret->image);
	return 0;
}

static int share_image(const struct hp_target *t, const struct hp_module *same,
		       struct hp_module *ret)
{
	ret->exe = same->exe;
	ret->image = hp_image_share(same->image);
	hp_reader_join(t->reader, ret->image); /* anew: walks do not know it here yet */
	return 0;
}

int hp_module_open(const struct hp_target *t, const struct hp_map *map,
		       const struct hp_module *same, struct hp_module *ret)
{
	struct hp_module m = {.dev = map->dev, .ino = map->ino};
	char *path = copy_path(map->path);
	struct hp_err why = {0};
	int r;

	if (!path)
		return -ENOMEM;
	r = same ? share_image(t, same, &m) : open_image(t, map, path, &m, &why);
	m.path = path;
	if (r < 0 || !bias_of(m.image, map, &m.bias)) {
		hp_debug("target: %s is left out: %s", m.path, why.text);
		hp_module_free(&m);
		return 0;
	}
	m.name = strrchr(m.path, '/') ? strrchr(m.path, '/') + 1 : m.path;
	m.span = span_of(m.image, m.bias);
	*ret = m;
	return 1;
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
bool hp_is_file_of_hp(const char *name)
{
	size_t n = 0;

	if (!strncmp(name, HP_TEMPLATE_FILES, strlen(HP_TEMPLATE_FILES)))
		return true;
	while (isxdigit((unsigned char)name[n]))
		n++;
	return n == 64 && !strncmp(name + n, ".so", 3);
}

bool hp_module_is_of_hp(const struct hp_module *m)
{
	return hp_is_file_of_hp(m->name);
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

int hp_target_files_check(const struct hp_target *t, struct hp_err *err)
{
	for (size_t i = 0; i < t->n_modules; i++)
		if (t->module[i].image->cut)
			return hp_err_set(err, -HP_E_TARGET,
					  "process %d (%s): its file %s was made shorter while it was read, "
					  "so that what it executes is not known: restart the process",
					  (int)t->pid, t->comm, t->module[i].path);
	return 0;
}
