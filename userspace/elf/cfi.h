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
	bool entry_frame; /* its first row is a function entry's: CFA = rsp+8 */
};

/* The image must outlive it.  An image without .eh_frame gives an empty one. */
int hp_cfi_open(struct hp_cfi **ret, const struct hp_image *im, struct hp_err *err);
void hp_cfi_free(struct hp_cfi *c);

/* The FDE that covers @vaddr; false if there is none. */
bool hp_cfi_find(const struct hp_cfi *c, uint64_t vaddr, struct hp_fde *ret);

/* The CFA at @vaddr as rsp + *offset; false if it is not told in terms of rsp (rbp, expression)
 * or not at all. */
bool hp_cfi_cfa_from_sp(const struct hp_cfi *c, uint64_t vaddr, int64_t *offset);

#endif
