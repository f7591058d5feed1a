/* SPDX-License-Identifier: MIT */
/*
 * elf/section.h – section headers, for what no program header tells: .symtab, debug files, .hp.patch.
 */
#ifndef HP_ELF_SECTION_H
#define HP_ELF_SECTION_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;

struct hp_section {
	Elf64_Shdr header;
	const char *name;     /* "" if the file gives none */
	const uint8_t *bytes; /* header.sh_size bytes; NULL: none in the file (SHT_NOBITS), or compressed */
};

/* How many section headers there are; 0 in a file without.  -HP_E_BAD_ELF if the table is not
 * whole. */
int hp_section_count(const struct hp_image *im, size_t *ret, struct hp_err *err);

/* The @i-th; false if there is none, or it lies about where its bytes are. */
bool hp_section_at(const struct hp_image *im, size_t i, struct hp_section *ret);

/* The first of type @type; false if there is none. */
bool hp_section_of_type(const struct hp_image *im, uint32_t type, struct hp_section *ret);

#endif
