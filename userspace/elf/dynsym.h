/* SPDX-License-Identifier: MIT */
/*
 * elf/dynsym.h – the dynamic symbol table as a loader finds it (PT_DYNAMIC), with its versions.
 */
#ifndef HP_ELF_DYNSYM_H
#define HP_ELF_DYNSYM_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;

struct hp_dynsym {
	const struct hp_image *im;
	uint64_t symtab;       /* DT_SYMTAB; 0: none */
	const uint8_t *versym; /* DT_VERSYM, or NULL */
	size_t n_versym;
	const char **version; /* by version index, NULL: none of that index */
	size_t n_versions;
};

/* The image must outlive it.  A file without a table gives an empty one.  -HP_E_BAD_ELF for one
 * whose tables lie. */
int hp_dynsym_open(struct hp_dynsym *ret, const struct hp_image *im, struct hp_err *err);
void hp_dynsym_close(struct hp_dynsym *d);

/* How many symbols its hash tables know; relocations may name more of them. */
size_t hp_dynsym_count(const struct hp_dynsym *d);

/* Whether @e names a place in a process: defined, not absolute; a function lies wholly in one
 * executable segment of @im. */
bool hp_dynsym_has_place(const struct hp_image *im, const Elf64_Sym *e);

/* What a dynamic linker binds @name to: a symbol with a place that is not local, of version
 * @version, or, where @version is NULL, of the default version or none.  A definition without a
 * version serves every version.  False if there is none. */
bool hp_dynsym_find(const struct hp_dynsym *d, const char *name, const char *version,
		    Elf64_Sym *ret);

/* A name that is looked for, and where it is: */
struct hp_import {
	const char *name, *version; /* as for hp_dynsym_find() */
	const struct hp_image *im;  /* the first that has it; NULL: none */
	Elf64_Sym sym;
};

/* Finds @import[], @n of them, in the @n_im images, which have one reader in common, or none, and are
 * searched in this order; a file whose tables lie refuses what would be searched there.  It is one
 * question, unless there are very many. */
int hp_dynsym_resolve(const struct hp_image *const *im, size_t n_im, struct hp_import *import,
		      size_t n, struct hp_err *err);

/* Which of @names, a constant list of @n, @im takes from elsewhere: 1, and the place of one; 0: none. */
int hp_dynsym_imports(const struct hp_image *im, const char *const *names, size_t n, size_t *ret,
		      struct hp_err *err);

/* The @i-th symbol, its name ("" without), its version (or NULL) and whether that is hidden, not
 * the default; false if there is no such symbol or its name lies outside the strings. */
bool hp_dynsym_at(const struct hp_dynsym *d, size_t i, Elf64_Sym *ret, const char **name,
		  const char **version, bool *hidden);

#endif
