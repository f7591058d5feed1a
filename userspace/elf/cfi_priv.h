/* SPDX-License-Identifier: MIT */
/* elf/cfi_priv.h – what the parts of the CFI share; for cfi*.c only. */
#ifndef HP_ELF_CFI_PRIV_H
#define HP_ELF_CFI_PRIV_H

#include <elfutils/libdw.h>

#include "base/array.h"
#include "elf/cfi.h"

struct hp_cfi_fde {
	uint64_t lo, hi;
	/* Its rows among those told by a reader; asked: they are there, or there are none. */
	uint32_t first, n;
	bool asked;
};

struct hp_cfi_fdes {
	struct hp_cfi_fde *v;
	size_t n, room;
};

/* [lo, hi) has this row. */
struct hp_cfi_told {
	uint64_t lo, hi;
	struct hp_cfi_row row;
	uint32_t has_cfa; /* what the row says of the CFA holds */
	uint32_t whole;	  /* and the rest too */
};
_Static_assert(sizeof(struct hp_cfi_told) == 176, "no padding, which would be the reader's memory");

struct hp_cfi {
	const struct hp_image *im;
	struct hp_cfi_fdes fdes; /* ascending by lo */
	Dwarf_CFI *dw;		 /* NULL: no CFI, or a reader's to read */
	HP_ARRAY(struct hp_cfi_told) told;
};

/* The FDEs of @im, parsed here.  0 or -ENOMEM. */
int hp_cfi_list(struct hp_cfi_fdes *ret, const struct hp_image *im);

/* The FDE that covers @vaddr; SIZE_MAX: none. */
size_t hp_cfi_index(const struct hp_cfi *c, uint64_t vaddr);

/* The row at @vaddr by libdw, here; false: there is none. */
bool hp_cfi_tell(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_told *ret);

/* The same two asked the reader.  A row that it does not tell is not there: who wants to know why
 * calls hp_reader_check(). */
int hp_cfi_ask_fdes(struct hp_cfi *c, struct hp_err *err);
bool hp_cfi_ask_row(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_told *ret);

#endif
