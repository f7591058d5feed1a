/* SPDX-License-Identifier: MIT */
/*
 * Where .eh_frame is, and the ranges of its FDEs, with bounds on everything.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/cfi_priv.h"
#include "elf/image.h"

#define MAX_AUGMENTATION 16 /* "zPLRSB" is the longest there is; bounds the time a lie takes */

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

static bool read_fde(struct cursor c, uint8_t encoding, struct hp_cfi_fde *ret)
{
	uint64_t lo = take_encoded(&c, encoding, false);
	uint64_t length = take_encoded(&c, encoding, true);

	if (c.bad || !length || lo + length < lo)
		return false;
	ret->lo = lo;
	ret->hi = lo + length;
	return true;
}

static int list_fdes(struct hp_cfi_fdes *fdes, const uint8_t *bytes, size_t n, uint64_t vaddr)
{
	uint64_t cie_at = UINT64_MAX;
	uint8_t encoding = 0;
	bool cie_ok = false;
	struct entry e, cie;

	for (size_t at = 0; at < n && read_entry(bytes, n, vaddr, at, &e); at = e.end) {
		struct hp_cfi_fde r, *slot;

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
		slot = HP_ARRAY_ADD(fdes);
		if (!slot)
			return -ENOMEM;
		*slot = r;
	}
	return 0;
}

static int compare(const void *pa, const void *pb)
{
	const struct hp_cfi_fde *a = pa, *b = pb;

	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

int hp_cfi_list(struct hp_cfi_fdes *ret, const struct hp_image *im)
{
	const uint8_t *bytes;
	uint64_t vaddr = 0;
	size_t n = 0;

	bytes = find_eh_frame(im, &vaddr, &n);
	if (bytes && list_fdes(ret, bytes, n, vaddr))
		return -ENOMEM;
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	return 0;
}
