/* SPDX-License-Identifier: MIT */
/*
 * What a row says is libdw's to compute; libdw keeps a cache inside, so that a struct hp_cfi belongs
 * to one thread.  Where there is a reader it has libdw, and tells all rows of an FDE at once.
 */
#include "elf/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>

#include "elf/cfi_priv.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

static int open_here(struct hp_cfi *c, struct hp_err *err)
{
	if (hp_cfi_list(&c->fdes, c->im))
		return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", c->im->name);
	if (c->fdes.n && hp_image_elf(c->im))
		c->dw = dwarf_getcfi_elf(hp_image_elf(c->im));
	return 0;
}

int hp_cfi_open(struct hp_cfi **ret, const struct hp_image *im, struct hp_err *err)
{
	struct hp_cfi *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", im->name);
	c->im = im;
	r = hp_reader_of(im) ? hp_cfi_ask_fdes(c, err) : open_here(c, err);
	if (r < 0)
		hp_cfi_free(c);
	else
		*ret = c;
	return r;
}

void hp_cfi_free(struct hp_cfi *c)
{
	if (!c)
		return;
	if (c->dw)
		(void)dwarf_cfi_end(c->dw); /* fails for NULL only */
	HP_ARRAY_FREE(&c->fdes);
	HP_ARRAY_FREE(&c->told);
	free(c);
}

/* --- one row ------------------------------------------------------------------------------------ */

static bool cfa_of(Dwarf_Frame *frame, uint32_t *reg, int64_t *offset)
{
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) || n != 1)
		return false;
	if (ops[0].atom == DW_OP_bregx) {
		*reg = (unsigned)ops[0].number;
		*offset = (int64_t)ops[0].number2;
		return true;
	}
	*reg = (unsigned)ops[0].atom - DW_OP_breg0;
	*offset = (int64_t)ops[0].number;
	return ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31;
}

/* The same as in the caller, or at an offset from the CFA: what prologues do. */
static bool add_register(Dwarf_Frame *frame, int reg, struct hp_cfi_row *row)
{
	Dwarf_Op mem[3], *ops;
	size_t n;

	if (dwarf_frame_register(frame, reg, mem, &ops, &n))
		return false;
	/* Unchanged or unknown; libdw takes rbx for unknown where nothing is said of it.  Without a
	 * return address it is an outermost function's. */
	if (n == 0)
		return reg != HP_CFI_RA;
	if (ops[0].atom != DW_OP_call_frame_cfa || n > 2 ||
	    (n == 2 && ops[1].atom != DW_OP_plus_uconst))
		return false;
	row->saved |= 1u << reg;
	row->at[reg] = n == 2 ? (int64_t)ops[1].number : 0;
	return true;
}

static void read_row(Dwarf_Frame *frame, struct hp_cfi_told *ret)
{
	static const int kept[] = {3, 6, 12, 13, 14, 15, HP_CFI_RA}; /* rbx, rbp, r12 to r15 */

	ret->has_cfa = cfa_of(frame, &ret->row.cfa_reg, &ret->row.cfa_offset) &&
		       ret->row.cfa_reg < HP_CFI_REGS;
	ret->whole = ret->has_cfa;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && ret->whole; i++)
		ret->whole = add_register(frame, kept[i], &ret->row);
}

bool hp_cfi_tell(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_told *ret)
{
	Dwarf_Frame *frame = NULL;
	Dwarf_Addr lo, hi;
	bool signal;

	*ret = (struct hp_cfi_told){0};
	if (!c->dw || dwarf_cfi_addrframe(c->dw, vaddr, &frame))
		return false;
	read_row(frame, ret);
	(void)dwarf_frame_info(frame, &lo, &hi, &signal); /* the return address register */
	ret->lo = lo;
	ret->hi = hi;
	free(frame);
	return true;
}

/* --- questions ---------------------------------------------------------------------------------- */

static bool row_at(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_told *ret)
{
	return hp_reader_of(c->im) ? hp_cfi_ask_row(c, vaddr, ret) : hp_cfi_tell(c, vaddr, ret);
}

bool hp_cfi_cfa_from_sp(const struct hp_cfi *c, uint64_t vaddr, int64_t *offset)
{
	struct hp_cfi_told told;

	if (!row_at(c, vaddr, &told) || !told.has_cfa || told.row.cfa_reg != HP_CFI_RSP)
		return false;
	*offset = told.row.cfa_offset;
	return true;
}

bool hp_cfi_row(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_row *ret)
{
	struct hp_cfi_told told;

	if (!row_at(c, vaddr, &told) || !told.whole)
		return false;
	*ret = told.row;
	return true;
}

size_t hp_cfi_index(const struct hp_cfi *c, uint64_t vaddr)
{
	size_t lo = 0, hi = c->fdes.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->fdes.v[mid].lo <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && vaddr < c->fdes.v[lo - 1].hi ? lo - 1 : SIZE_MAX;
}

bool hp_cfi_find(const struct hp_cfi *c, uint64_t vaddr, struct hp_fde *ret)
{
	size_t i = hp_cfi_index(c, vaddr);

	if (i == SIZE_MAX)
		return false;
	ret->lo = c->fdes.v[i].lo;
	ret->hi = c->fdes.v[i].hi;
	return true;
}

bool hp_cfi_is_entry(const struct hp_cfi *c, const struct hp_fde *fde)
{
	int64_t offset;

	return hp_cfi_cfa_from_sp(c, fde->lo, &offset) && offset == 8;
}
