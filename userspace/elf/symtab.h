/* SPDX-License-Identifier: MIT */
/*
 * elf/symtab.h – the names of one image: .symtab, else .dynsym, of the file itself and of its
 * separate debug file.  Sorted once; look-up by name and by address.
 */
#ifndef HP_ELF_SYMTAB_H
#define HP_ELF_SYMTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;

struct hp_sym {
	const char *name;    /* without the version */
	const char *version; /* "GLIBC_2.34", or NULL */
	const char *file;    /* STT_FILE that it belongs to, for local symbols; or NULL */
	uint64_t value;	     /* vaddr; for STT_TLS the offset in the block */
	uint64_t size;
	uint8_t type; /* STT_* */
	uint8_t bind; /* STB_* */
	bool dynamic; /* from .dynsym */
	bool hidden_version; /* "name@VER", not the default "name@@VER" */
};

struct hp_symtab;

/* Defined symbols only (no SHN_UNDEF, no absolute ones, as those have no place in a process), names
 * non-empty; one of .symtab and .dynsym that describe the same thing is kept once, different versions
 * of one definition are kept each.  A function lies wholly in one executable segment of @im, what
 * says otherwise is left out; other values are as the file has them.
 * @debug (may be NULL) adds the names of a separate debug file.
 * The images must outlive the table. */
int hp_symtab_load(struct hp_symtab **ret, const struct hp_image *im, const struct hp_image *debug,
		   struct hp_err *err);
void hp_symtab_free(struct hp_symtab *st);

/* All definitions of @name that @file (NULL: any) has; the count, and the first @max in @out.
 * Same name at the same address counts once.  A @file matches a whole path or its last part. */
size_t hp_symtab_find(const struct hp_symtab *st, const char *name, const char *file,
		      const struct hp_sym **out, size_t max);

/* The function (STT_FUNC, STT_GNU_IFUNC) that covers @vaddr (start ≤ vaddr < start+size), or NULL. */
const struct hp_sym *hp_symtab_func_at(const struct hp_symtab *st, uint64_t vaddr);

/* All functions whose value is @vaddr: names that share a body (aliases, ICF); the count, and the
 * first @max in @out. */
size_t hp_symtab_aliases(const struct hp_symtab *st, uint64_t vaddr, const struct hp_sym **out,
			 size_t max);

/* Symbols whose name starts with @prefix ("func1." finds func1.cold, func1.constprop.0);
 * likewise. */
size_t hp_symtab_prefix(const struct hp_symtab *st, const char *prefix, const struct hp_sym **out,
			size_t max);

/* Names like @name, nearest first, at an edit distance that a slip of the finger explains; how many
 * are in @out, 16 at most. */
size_t hp_symtab_similar(const struct hp_symtab *st, const char *name, const char **out,
			 size_t max);

/* Every symbol, sorted by value. */
size_t hp_symtab_all(const struct hp_symtab *st, const struct hp_sym **ret);

#endif
