/* SPDX-License-Identifier: MIT */
/*
 * Addresses are written as 8 bytes relative to where they stand: a stub may be anywhere, and a list
 * that lies in a file does not know where it will be mapped.
 */
#include "arch/frames.h"

#include <dwarf.h>
#include <string.h>

#include "arch/block.h"
#include "arch/code.h"

#define DATA_ALIGN (-8)

const struct hp_cfi_row hp_frames_entry = {
	.cfa_reg = HP_CFI_RSP, .cfa_offset = 8, .saved = 1u << HP_CFI_RA, .at = {[HP_CFI_RA] = -8}};

static void put(struct hp_frames *f, uint8_t byte)
{
	uint8_t *p = f->failed ? NULL : HP_ARRAY_ADD(&f->bytes);

	if (p)
		*p = byte;
	else
		f->failed = true;
}

static void put_bytes(struct hp_frames *f, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(f, ((const uint8_t *)bytes)[i]);
}

static void put_uleb(struct hp_frames *f, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		put(f, (uint8_t)(0x80 | (v & 0x7f)));
	put(f, (uint8_t)v);
}

/* An entry's length, and its padding, are known at its end. */
static size_t open_entry(struct hp_frames *f)
{
	size_t at = f->bytes.n;

	put_bytes(f, &(uint32_t){0}, 4);
	return at;
}

static void close_entry(struct hp_frames *f, size_t at)
{
	uint32_t n;

	while (!f->failed && (f->bytes.n - at) % 8)
		put(f, DW_CFA_nop);
	if (f->failed)
		return;
	n = (uint32_t)(f->bytes.n - at - 4);
	memcpy(f->bytes.v + at, &n, sizeof(n));
}

void hp_frames_begin(struct hp_frames *f)
{
	static const uint8_t augmentation[] = "zR";

	f->cie = open_entry(f);
	put_bytes(f, &(uint32_t){0}, 4); /* this is a CIE */
	put(f, 1);			 /* version */
	put_bytes(f, augmentation, sizeof(augmentation));
	put(f, 1);		      /* code alignment */
	put(f, DATA_ALIGN & 0x7f);    /* data alignment */
	put(f, HP_CFI_RA);
	put(f, 1); /* length of the augmentation */
	put(f, DW_EH_PE_pcrel | DW_EH_PE_sdata8);
	put(f, DW_CFA_def_cfa);
	put(f, HP_CFI_RSP);
	put(f, 8);
	put(f, DW_CFA_offset | HP_CFI_RA);
	put(f, 1);
	close_entry(f, f->cie);
}

void hp_frames_end(struct hp_frames *f)
{
	put_bytes(f, &(uint64_t){0}, 8); /* the zero, and the next list aligned */
}

static void put_advance(struct hp_frames *f, size_t n)
{
	if (n < 0x40) {
		put(f, (uint8_t)(DW_CFA_advance_loc | n));
		return;
	}
	put(f, DW_CFA_advance_loc4);
	put_bytes(f, &(uint32_t){(uint32_t)n}, 4);
}

static void put_row(struct hp_frames *f, const struct hp_cfi_row *was, const struct hp_cfi_row *now)
{
	if (was->cfa_reg != now->cfa_reg || was->cfa_offset != now->cfa_offset) {
		put(f, DW_CFA_def_cfa);
		put_uleb(f, now->cfa_reg);
		put_uleb(f, (uint64_t)now->cfa_offset);
	}
	for (unsigned i = 0; i < HP_CFI_REGS; i++) {
		bool had = was->saved & 1u << i, has = now->saved & 1u << i;

		if (has && (!had || was->at[i] != now->at[i])) {
			put(f, (uint8_t)(DW_CFA_offset | i));
			put_uleb(f, (uint64_t)(now->at[i] / DATA_ALIGN));
		} else if (had && !has) {
			put(f, DW_CFA_same_value);
			put_uleb(f, i);
		}
	}
}

static bool can_be_written(const struct hp_cfi_row *row)
{
	for (unsigned i = 0; i < HP_CFI_REGS; i++)
		if ((row->saved & 1u << i) && (row->at[i] > 0 || row->at[i] % DATA_ALIGN))
			return false;
	return row->cfa_offset >= 0;
}

/* What holds before the instruction @off bytes into the code; false: nothing is known from here on. */
typedef bool (*row_fn)(void *arg, size_t off, struct hp_cfi_row *ret);

/* Adds the code in [lo, lo+n). */
static void add(struct hp_frames *f, hp_addr lo, size_t n, row_fn row, void *arg)
{
	struct hp_cfi_row was = hp_frames_entry, now;
	size_t at = open_entry(f), length_at, done = 0, off;
	uint64_t length;

	put_bytes(f, &(uint32_t){(uint32_t)(at + 4 - f->cie)}, 4);
	put_bytes(f, &(uint64_t){lo - (f->at + f->bytes.n)}, 8);
	length_at = f->bytes.n;
	put_bytes(f, &(uint64_t){0}, 8);
	put(f, 0); /* no augmentation data */
	for (off = 0; off < n && row(arg, off, &now) && can_be_written(&now); off++) {
		if (memcmp(&was, &now, sizeof(now)) == 0)
			continue;
		if (off > done)
			put_advance(f, off - done);
		done = off;
		put_row(f, &was, &now);
		was = now;
	}
	close_entry(f, at);
	length = off;
	if (f->failed)
		return;
	if (length)
		memcpy(f->bytes.v + length_at, &length, sizeof(length));
	else
		f->bytes.n = at; /* nothing is known of it */
}

static bool block_row(void *arg, size_t off, struct hp_cfi_row *ret)
{
	*ret = hp_frames_entry;
	ret->cfa_offset += hp_block_pushed((unsigned)off);
	return true;
}

void hp_frames_block(struct hp_frames *f, hp_addr at)
{
	add(f, at, HP_BLOCK_SIZE, block_row, NULL);
}

static bool stub_row(void *arg, size_t off, struct hp_cfi_row *ret)
{
	*ret = hp_frames_entry;
	return true;
}

void hp_frames_stub(struct hp_frames *f, hp_addr at)
{
	add(f, at, HP_STUB_LEN, stub_row, NULL);
}

struct moved_head {
	const struct hp_head *h;
	size_t len;
	hp_addr to;
	const struct hp_cfi *cfi;
	hp_addr bias;
};

static bool head_row(void *arg, size_t off, struct hp_cfi_row *ret)
{
	const struct moved_head *m = arg;
	size_t back = hp_head_moved_back(m->h, m->len, m->to, off);

	/* At its first byte no function has done anything yet, whether it has CFI or not. */
	if (back == 0)
		*ret = hp_frames_entry;
	else if (!hp_cfi_row(m->cfi, m->h->at - m->bias + back, ret))
		return false;
	if (hp_head_moved_in_call(m->h, m->len, m->to, off) && ret->cfa_reg == HP_CFI_RSP)
		ret->cfa_offset += 8;
	return true;
}

void hp_frames_head(struct hp_frames *f, hp_addr at, size_t n, const struct hp_head *h, size_t len,
		    const struct hp_cfi *cfi, hp_addr bias)
{
	struct moved_head m = {h, len, at, cfi, bias};

	add(f, at, n, head_row, &m);
}
