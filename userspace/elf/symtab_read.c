/* SPDX-License-Identifier: MIT */
#include "elf/symtab_table.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/section.h"
#include "hp/err.h"

/* In .symtab a version is a part of the name. */
static int split_version(struct hp_symtab *st, struct hp_sym *s)
{
	const char *at = strchr(s->name, '@');
	char *name, **slot;

	if (!at || at == s->name)
		return 0;
	name = strndup(s->name, (size_t)(at - s->name));
	slot = name ? HP_ARRAY_ADD(&st->owned) : NULL;
	if (!slot) {
		free(name);
		return -ENOMEM;
	}
	*slot = name;
	s->name = name;
	s->hidden_version = at[1] != '@';
	s->version = at + (s->hidden_version ? 1 : 2);
	return 0;
}

static int add(struct hp_symtab *st, const struct hp_sym *s)
{
	struct hp_sym *slot;

	if (st->syms.n >= HP_SYMTAB_NONE)
		return -EFBIG;
	slot = HP_ARRAY_ADD(&st->syms);
	if (!slot)
		return -ENOMEM;
	*slot = *s;
	return s->dynamic ? 0 : split_version(st, slot);
}

static int read_dynamic(struct hp_symtab *st, const struct hp_image *im, struct hp_err *err)
{
	struct hp_dynsym d;
	size_t n;
	int r;

	r = hp_dynsym_open(&d, im, err);
	if (r)
		return r;
	n = hp_dynsym_count(&d);
	for (size_t i = 1; i < n && !r; i++) {
		struct hp_sym s = {.dynamic = true};
		Elf64_Sym e;

		if (!hp_dynsym_at(&d, i, &e, &s.name, &s.version, &s.hidden_version) ||
		    !*s.name || !hp_dynsym_has_place(im, &e))
			continue;
		s.value = e.st_value;
		s.size = e.st_size;
		s.type = ELF64_ST_TYPE(e.st_info);
		s.bind = ELF64_ST_BIND(e.st_info);
		r = add(st, &s);
	}
	hp_dynsym_close(&d);
	return r ? hp_err_sys(err, -r, "%s: reading its symbols", im->name) : 0;
}

/* The string table of @symtab, whose last byte is NUL; NULL if there is none. */
static const char *strings_of(const struct hp_image *file, const struct hp_section *symtab,
			      size_t *size)
{
	struct hp_section s;

	if (!hp_section_at(file, symtab->header.sh_link, &s) || !s.bytes ||
	    s.header.sh_type != SHT_STRTAB || !s.header.sh_size ||
	    s.bytes[s.header.sh_size - 1])
		return NULL;
	*size = s.header.sh_size;
	return (const char *)s.bytes;
}

static int read_section(struct hp_symtab *st, const struct hp_image *im,
			const struct hp_image *file, struct hp_err *err)
{
	const char *strings, *source = NULL;
	struct hp_section symtab;
	size_t n_strings, n;

	if (!hp_section_of_type(file, SHT_SYMTAB, &symtab) || !symtab.bytes)
		return 0;
	strings = strings_of(file, &symtab, &n_strings);
	if (!strings || symtab.header.sh_entsize != sizeof(Elf64_Sym))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: its symbol table lies about its %s",
				  file->name, strings ? "entries" : "strings");
	n = symtab.header.sh_size / sizeof(Elf64_Sym);
	for (size_t i = 1; i < n; i++) {
		struct hp_sym s = {0};
		Elf64_Sym e;
		int r;

		memcpy(&e, symtab.bytes + i * sizeof(e), sizeof(e));
		if (e.st_name >= n_strings)
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: the name of symbol %zu lies outside its strings",
					  file->name, i);
		s.name = strings + e.st_name;
		s.bind = ELF64_ST_BIND(e.st_info);
		s.type = ELF64_ST_TYPE(e.st_info);
		s.value = e.st_value;
		s.size = e.st_size;
		if (s.type == STT_FILE)
			source = *s.name ? s.name : NULL;
		if (!*s.name || !hp_dynsym_has_place(im, &e))
			continue;
		s.file = s.bind == STB_LOCAL ? source : NULL;
		r = add(st, &s);
		if (r)
			return hp_err_sys(err, -r, "%s: reading its symbols", file->name);
	}
	return 0;
}

int hp_symtab_read(struct hp_symtab *st, const struct hp_image *im, const struct hp_image *debug,
		   struct hp_err *err)
{
	int r;

	r = read_dynamic(st, im, err);
	if (!r)
		r = read_section(st, im, im, err);
	if (!r && debug)
		r = read_section(st, im, debug, err);
	return r;
}
