/* SPDX-License-Identifier: MIT */
/*
 * elf/cfi.h – what .eh_frame says of an image's functions (libdw).
 */
#ifndef HP_ELF_CFI_H
#define HP_ELF_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;
struct hp_cfi;

/* An FDE's range, vaddr. */
struct hp_fde {
	uint64_t lo, hi;
};

/* The image must outlive it.  An image without .eh_frame gives an empty one.  One thread has it: to
 * ask changes what it keeps.  Where a reader is asked, false below may also be that reader's end:
 * hp_reader_check(). */
int hp_cfi_open(struct hp_cfi **ret, const struct hp_image *im, struct hp_err *err);
void hp_cfi_free(struct hp_cfi *c);

/* The FDE that covers @vaddr; false if there is none. */
bool hp_cfi_find(const struct hp_cfi *c, uint64_t vaddr, struct hp_fde *ret);

/* Is its first row that of a function's entry: CFA = rsp+8? */
bool hp_cfi_is_entry(const struct hp_cfi *c, const struct hp_fde *fde);

/* The CFA at @vaddr as rsp + *offset; false if it is not told in terms of rsp (rbp, expression)
 * or not at all. */
bool hp_cfi_cfa_from_sp(const struct hp_cfi *c, uint64_t vaddr, int64_t *offset);

/* One row of the table: where the CFA is, and which registers lie where from it; registers by
 * DWARF's numbers (psABI 3.6.2). */
#define HP_CFI_RSP  7
#define HP_CFI_RA   16
#define HP_CFI_REGS 17
struct hp_cfi_row {
	uint32_t cfa_reg;
	uint32_t saved; /* a bit a register */
	int64_t cfa_offset;
	int64_t at[HP_CFI_REGS];
};

/* The row at @vaddr; false when there is none, or it says what a struct hp_cfi_row cannot. */
bool hp_cfi_row(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_row *ret);

#endif
