/* SPDX-License-Identifier: MIT */
/* elf/reloc_list.h – the relocations of an image as records, whatever table they came from; for
 * reloc*.c only. */
#ifndef HP_ELF_RELOC_LIST_H
#define HP_ELF_RELOC_LIST_H

#include <stdint.h>

#include "elf/reader.h"
#include "elf/reloc.h"

enum hp_reloc_flag {
	HP_RELOC_DEFINED = 1,  /* in the image itself */
	HP_RELOC_ABSOLUTE = 2, /* its value is a number, not a place */
	HP_RELOC_VISIBLE = 4,  /* of default visibility */
};

#define HP_RELOC_NO_TEXT UINT32_MAX

struct hp_reloc {
	uint64_t where;
	int64_t addend;
	uint64_t value, size; /* of the symbol */
	uint32_t type;	      /* R_X86_64_* */
	uint32_t name, version; /* of the symbol, in the text; HP_RELOC_NO_TEXT: none */
	uint8_t sym_type, sym_bind, flags, zero;
};
_Static_assert(sizeof(struct hp_reloc) == 48, "no padding, which would be the reader's memory");

/* All of them: RELR, RELA, PLT.  Where they write and to what is as the file says. */
int hp_reloc_list(const struct hp_image *im, struct hp_told *ret, struct hp_err *err);

struct hp_relocs {
	const struct hp_image *im;
	struct hp_told list; /* of struct hp_reloc, and their names */
	struct hp_reloc_sym *sym; /* those that may be looked up */
	size_t n_syms;
	uint32_t *sym_of; /* of each relocation; HP_RELOC_NO_SYM: it is not looked up */
};

#define HP_RELOC_NO_SYM UINT32_MAX

/* Does it compute with a symbol's address? */
bool hp_reloc_is_symbolic(uint32_t type);


#endif
