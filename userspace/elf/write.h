/* SPDX-License-Identifier: MIT */
/*
 * elf/write.h – a small ELF file with sections and function symbols, made in memory: how hp tells
 * debuggers, profilers and unwinders about code that no compiler made.
 */
#ifndef HP_ELF_WRITE_H
#define HP_ELF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* What an allocated section may begin at, at the earliest: the headers come before. */
#define HP_ELF_HEADERS 256

struct hp_elf_section {
	const char *name;
	uint32_t type;	     /* SHT_… */
	uint64_t flags;	     /* SHF_… */
	hp_addr addr;
	const uint8_t *bytes; /* NULL: it lies elsewhere, and only its place is told (SHT_NOBITS) */
	size_t n;
};

struct hp_elf_symbol {
	char *name;
	hp_addr addr;
	uint64_t size;
};

struct hp_elf_file {
	/* Where the file's first byte lies: the offset of a section with bytes is its address less
	 * this one. */
	hp_addr base;
	bool segments; /* program headers: one segment up to the last allocated byte, and the notes */
	const struct hp_elf_section *section;
	size_t n_sections;
	const struct hp_elf_symbol *symbol;
	size_t n_symbols;
};

/* *ret is freed with free().  -ENOMEM, or -EINVAL for sections that do not fit behind each other. */
int hp_elf_write(const struct hp_elf_file *f, uint8_t **ret, size_t *ret_n);

#endif
