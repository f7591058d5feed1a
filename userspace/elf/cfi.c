/* SPDX-License-Identifier: MIT */
/*
 * The FDEs are listed once, with bounds; what a row says is libdw's to compute.  libdw keeps its own
 * cache inside, so that a struct hp_cfi belongs to one thread.
 */
#include "elf/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/image.h"
#include "hp/err.h"

#define MAX_AUGMENTATION 16 /* "zPLRSB" is the longest there is; bounds the time a lie takes */

struct range {
	uint64_t lo, hi;
};

struct hp_cfi {
	Dwarf_CFI *dw; /* NULL: no CFI */
	HP_ARRAY(struct range) fdes;
};

/* A cursor that never leaves its bytes: @left is what remains of them. */
struct cursor {
	const uint8_t *p;
	size_t left;
	uint64_t vaddr;
	bool bad;
};

static uint64_t take(struct cursor *c, size_t n, bool is_signed)
{
	uint64_t v = 0;

	if (c->left < n) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->p, n);
	if (is_signed && n < 8 && (v >> (8 * n - 1) & 1))
		v |= ~0ull << (8 * n);
	c->p += n;
	c->left -= n;
	c->vaddr += n;
	return v;
}

static uint64_t take_leb128(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint64_t byte = take(c, 1, false);

		v |= (byte & 0x7f) << shift;
		if (c->bad || !(byte & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

/* LSB, "DWARF Exception Header Encoding".  @is_length: the format alone counts. */
static uint64_t take_encoded(struct cursor *c, uint8_t encoding, bool is_length)
{
	uint64_t base = (encoding & 0x70) == DW_EH_PE_pcrel ? c->vaddr : 0, v;

	if ((encoding & DW_EH_PE_indirect) ||
	    ((encoding & 0x70) != DW_EH_PE_absptr && (encoding & 0x70) != DW_EH_PE_pcrel)) {
		c->bad = true;
		return 0;
	}
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		v = take(c, 8, false);
		break;
	case DW_EH_PE_udata4:
		v = take(c, 4, false);
		break;
	case DW_EH_PE_sdata4:
		v = take(c, 4, !is_length);
		break;
	case DW_EH_PE_udata2:
		v = take(c, 2, false);
		break;
	case DW_EH_PE_sdata2:
		v = take(c, 2, !is_length);
		break;
	default:
		c->bad = true;
		return 0;
	}
	return is_length ? v : base + v;
}

/* --- the list of FDEs --------------------------------------------------------------------------- */

/* .eh_frame by its section, else as a loader finds it: PT_GNU_EH_FRAME begins with its address. */
static const uint8_t *find_eh_frame(const struct hp_image *im, uint64_t *vaddr, size_t *n)
{
	const uint8_t *bytes = hp_image_section(im, ".eh_frame", vaddr, n);

	if (bytes)
		return bytes;
	for (size_t i = 0; i < im->n_phdrs; i++) {
		const Elf64_Phdr *p = &im->phdr[i];
		struct cursor c;
		uint8_t encoding;

		if (p->p_type != PT_GNU_EH_FRAME || !p->p_filesz)
			continue;
		c = (struct cursor){.p = im->bytes + p->p_offset,
				    .left = p->p_filesz,
				    .vaddr = p->p_vaddr};
		if (take(&c, 1, false) != 1)
			continue;
		encoding = (uint8_t)take(&c, 3, false); /* two more are of its search table */
		*vaddr = take_encoded(&c, encoding, false);
		*n = c.bad ? 0 : hp_image_left(im, *vaddr);
		return *n ? hp_image_at(im, *vaddr, *n) : NULL;
	}
	return NULL;
}

struct entry {
	bool is_cie;
	uint64_t id_at; /* where in the section the id field lies */
	uint64_t id;
	struct cursor body; /* after the id */
	size_t end;	    /* where the next one begins */
};

/* The entry at @at; false at the end, or where the rest is not to be trusted. */
static bool read_entry(const uint8_t *bytes, size_t n, uint64_t vaddr, size_t at, struct entry *ret)
{
	struct cursor c = {.p = bytes + at, .left = n - at, .vaddr = vaddr + at};
	uint64_t length = take(&c, 4, false);

	if (length == 0xffffffff)
		length = take(&c, 8, false);
	if (c.bad || length < 4 || length > c.left)
		return false;
	c.left = length;
	ret->end = (size_t)(c.p - bytes) + length;
	ret->id_at = (uint64_t)(c.p - bytes);
	ret->id = take(&c, 4, false); /* 4 bytes in .eh_frame, in the long format too */
	ret->is_cie = ret->id == 0;
	ret->body = c;
	return true;
}

/* The encoding of the addresses in the FDEs of a CIE; false for what gcc and clang never wrote. */
static bool read_cie(struct cursor c, uint8_t *encoding)
{
	const char *augmentation;
	uint8_t version = (uint8_t)take(&c, 1, false);
	size_t len;

	*encoding = DW_EH_PE_absptr;
	augmentation = (const char *)c.p;
	len = strnlen(augmentation, c.left < MAX_AUGMENTATION ? c.left : MAX_AUGMENTATION);
	if ((version != 1 && version != 3 && version != 4) || len == c.left ||
	    len == MAX_AUGMENTATION)
		return false;
	c.p += len + 1;
	c.left -= len + 1;
	c.vaddr += len + 1;
	if (version == 4)
		take(&c, 2, false); /* sizes of an address and of a segment selector */
	take_leb128(&c);	    /* code alignment */
	take_leb128(&c);	    /* data alignment; the sign does not matter here */
	if (version == 1)
		take(&c, 1, false); /* return address register */
	else
		take_leb128(&c);
	if (*augmentation != 'z')
		return !c.bad && *augmentation == 0;
	take_leb128(&c); /* length of what follows */
	for (size_t i = 1; i < len && !c.bad; i++) {
		switch (augmentation[i]) {
		case 'R':
			*encoding = (uint8_t)take(&c, 1, false);
			return !c.bad;
		case 'L':
			take(&c, 1, false);
			break;
		case 'P': {
			uint8_t of = (uint8_t)take(&c, 1, false);

			/* An indirect personality is as long as a direct one. */
			take_encoded(&c, of & (uint8_t)~(DW_EH_PE_indirect | 0x70), true);
			break;
		}
		case 'S':
		case 'B':
			break;
		default:
			return false;
		}
	}
	return !c.bad;
}

static bool read_fde(struct cursor c, uint8_t encoding, struct range *ret)
{
	uint64_t lo = take_encoded(&c, encoding, false);
	uint64_t length = take_encoded(&c, encoding, true);

	if (c.bad || !length || lo + length < lo)
		return false;
	ret->lo = lo;
	ret->hi = lo + length;
	return true;
}

static int list_fdes(struct hp_cfi *c, const uint8_t *bytes, size_t n, uint64_t vaddr)
{
	uint64_t cie_at = UINT64_MAX;
	uint8_t encoding = 0;
	bool cie_ok = false;
	struct entry e, cie;

	for (size_t at = 0; at < n && read_entry(bytes, n, vaddr, at, &e); at = e.end) {
		struct range r, *slot;

		if (e.is_cie || e.id > e.id_at)
			continue;
		/* An FDE's id is the distance back to its CIE, most often the same as before. */
		if (e.id_at - e.id != cie_at) {
			cie_at = e.id_at - e.id;
			cie_ok = read_entry(bytes, n, vaddr, cie_at, &cie) && cie.is_cie &&
				 read_cie(cie.body, &encoding);
		}
		if (!cie_ok || !read_fde(e.body, encoding, &r))
			continue;
		slot = HP_ARRAY_ADD(&c->fdes);
		if (!slot)
			return -ENOMEM;
		*slot = r;
	}
	return 0;
}

static int compare(const void *pa, const void *pb)
{
	const struct range *a = pa, *b = pb;

	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

int hp_cfi_open(struct hp_cfi **ret, const struct hp_image *im, struct hp_err *err)
{
	struct hp_cfi *c = calloc(1, sizeof(*c));
	uint64_t vaddr = 0;
	const uint8_t *bytes;
	size_t n = 0;

	if (!c)
		return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", im->name);
	bytes = find_eh_frame(im, &vaddr, &n);
	if (bytes) {
		if (list_fdes(c, bytes, n, vaddr)) {
			hp_cfi_free(c);
			return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", im->name);
		}
		if (c->fdes.n)
			qsort(c->fdes.v, c->fdes.n, sizeof(*c->fdes.v), compare);
		c->dw = dwarf_getcfi_elf(im->elf);
	}
	*ret = c;
	return 0;
}

void hp_cfi_free(struct hp_cfi *c)
{
	if (!c)
		return;
	if (c->dw)
		(void)dwarf_cfi_end(c->dw); /* fails for NULL only */
	HP_ARRAY_FREE(&c->fdes);
	free(c);
}

/* --- questions ---------------------------------------------------------------------------------- */

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

bool hp_cfi_cfa_from_sp(const struct hp_cfi *c, uint64_t vaddr, int64_t *offset)
{
	Dwarf_Frame *frame = NULL;
	uint32_t reg;
	bool found;

	if (!c->dw || dwarf_cfi_addrframe(c->dw, vaddr, &frame))
		return false;
	found = cfa_of(frame, &reg, offset) && reg == HP_CFI_RSP;
	free(frame);
	return found;
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

bool hp_cfi_row(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_row *ret)
{
	static const int kept[] = {3, 6, 12, 13, 14, 15, HP_CFI_RA}; /* rbx, rbp, r12 to r15 */
	struct hp_cfi_row row = {0};
	Dwarf_Frame *frame = NULL;
	bool ok;

	if (!c->dw || dwarf_cfi_addrframe(c->dw, vaddr, &frame))
		return false;
	ok = cfa_of(frame, &row.cfa_reg, &row.cfa_offset);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && ok; i++)
		ok = add_register(frame, kept[i], &row);
	free(frame);
	if (ok)
		*ret = row;
	return ok;
}

bool hp_cfi_find(const struct hp_cfi *c, uint64_t vaddr, struct hp_fde *ret)
{
	size_t lo = 0, hi = c->fdes.n;
	int64_t offset;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->fdes.v[mid].lo <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || vaddr >= c->fdes.v[lo - 1].hi)
		return false;
	ret->lo = c->fdes.v[lo - 1].lo;
	ret->hi = c->fdes.v[lo - 1].hi;
	ret->entry_frame = hp_cfi_cfa_from_sp(c, ret->lo, &offset) && offset == 8;
	return true;
}
