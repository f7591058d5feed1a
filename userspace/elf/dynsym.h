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

/* The @i-th symbol, its name ("" without), its version (or NULL) and whether that is hidden, not
 * the default; false if there is no such symbol or its name lies outside the strings. */
bool hp_dynsym_at(const struct hp_dynsym *d, size_t i, Elf64_Sym *ret, const char **name,
		  const char **version, bool *hidden);

#endif
