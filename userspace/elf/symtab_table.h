/* SPDX-License-Identifier: MIT */
/* elf/symtab_table.h – what is inside a struct hp_symtab: for symtab*.c only. */
#ifndef HP_ELF_SYMTAB_TABLE_H
#define HP_ELF_SYMTAB_TABLE_H

#include "base/array.h"
#include "elf/symtab.h"

/* The end of a chain; an index is below it. */
#define HP_SYMTAB_NONE UINT32_MAX

struct hp_symtab {
	HP_ARRAY(struct hp_sym) syms;
	HP_ARRAY(char *) owned; /* names that had to be cut out of "name@@VERSION" */
	char *text; /* all names, where a reader told them */
	uint32_t *head, *next; /* chains of the hash, ascending */
	uint32_t mask;
	uint32_t *func; /* functions, ascending by value */
	uint64_t *reach; /* the highest end of the functions up to this one */
	size_t n_funcs;
};

/* Adds what the tables of both files say, in any order and more than once. */
int hp_symtab_read(struct hp_symtab *st, const struct hp_image *im, const struct hp_image *debug,
		   struct hp_err *err);

/* What the reader of @im says: sorted, and each thing once. */
int hp_symtab_ask(struct hp_symtab *st, const struct hp_image *im, const struct hp_image *debug,
		  struct hp_err *err);

/* Sorts by value, then name, and keeps what describes one thing once.  0 or -ENOMEM. */
int hp_symtab_sort(struct hp_symtab *st);

#endif
