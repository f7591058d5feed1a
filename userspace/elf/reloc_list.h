/* SPDX-License-Identifier: MIT */
/* elf/reloc_list.h – the relocations of an image as records, whatever table they came from; for
 * reloc*.c only. */
#ifndef HP_ELF_RELOC_LIST_H
#define HP_ELF_RELOC_LIST_H

#include <stdint.h>

#include "elf/reader.h"

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

#endif
