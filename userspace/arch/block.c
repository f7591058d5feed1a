/* SPDX-License-Identifier: MIT */
/*
 * The template's bytes are a function of the block's number alone: everything that differs between
 * targets is reached through the slot page, which lies at a fixed distance.  The gate path is
 * written down once, as bytes with what each instruction means for a thread that stands at it;
 * hp_block_place() reads the same table that hp_template_fill() writes from.
 */
#include "arch/block.h"

#include <errno.h>
#include <string.h>

enum { WATCH_AT = 0x00, OLD_AT = 0x10, NEW_AT = 0x20, GATE_AT = 0x30, GATE_BACK_AT = 0x80 };

#define GATE_LEN 0x3b
static const struct path {
	const char *name;
	uint8_t at, size;
} path[HP_PATHS] = {
	[HP_PATH_WATCH] = {"watch", WATCH_AT, 1 + HP_STUB_LEN},
	[HP_PATH_OLD] = {"old", OLD_AT, HP_STUB_LEN},
	[HP_PATH_NEW] = {"new", NEW_AT, HP_STUB_LEN},
	[HP_PATH_GATE] = {"gate", GATE_AT, GATE_LEN},
	[HP_PATH_GATE_BACK] = {"gate_back", GATE_BACK_AT, GATE_LEN},
};

/* What a step of the gate path has decided.  "Origin" is old for gate and new for gate_back. */
enum decided { NOTHING, UNSURE, ORIGIN };

/* What the four displacement bytes at the end of a step lead to. */
enum operand { NONE, TABLE, GATE_BYTE, TO_ORIGIN, TO_OTHER };

struct step {
	uint8_t off, len, bytes[8];
	uint8_t pushed;
	uint8_t decided; /* enum decided */
	uint8_t operand; /* enum operand */
};

/*
 * From the comparison with lo on, a thread may have matched an entry that is removed the moment
 * after: it would go to the origin although the table is empty, so it is "unsure" until it is past
 * the entry.  The flags are dead at a function's entry, rax is not.
 */
enum { LOOP = 0x08, NEXT = 0x19, ASK = 0x1f, TEST = 0x26, HIT = 0x35 };
static const struct step gate_step[] = {
	{0x00, 1, {0x50}, 0, NOTHING, NONE},				 /* push %rax */
	{0x01, 7, {0x48, 0x8b, 0x05}, 8, NOTHING, TABLE},		 /* mov table(%rip),%rax */
	{LOOP, 4, {0x48, 0x83, 0x38, 0x00}, 8, NOTHING, NONE},		 /* cmpq $0,(%rax) */
	{0x0c, 2, {0x74, ASK - 0x0e}, 8, NOTHING, NONE},		 /* je ASK */
	{0x0e, 3, {0x48, 0x3b, 0x20}, 8, NOTHING, NONE},		 /* cmp (%rax),%rsp */
	{0x11, 2, {0x72, NEXT - 0x13}, 8, UNSURE, NONE},		 /* jb NEXT */
	{0x13, 4, {0x48, 0x3b, 0x60, 0x08}, 8, UNSURE, NONE},		 /* cmp 8(%rax),%rsp */
	{0x17, 2, {0x72, HIT - 0x19}, 8, UNSURE, NONE},			 /* jb HIT */
	{NEXT, 4, {0x48, 0x83, 0xc0, 0x10}, 8, NOTHING, NONE},		 /* add $16,%rax */
	{0x1d, 2, {0xeb, (uint8_t)(LOOP - 0x1f)}, 8, NOTHING, NONE},	 /* jmp LOOP */
	{ASK, 7, {0x48, 0x8b, 0x05}, 8, NOTHING, GATE_BYTE},		 /* mov gate(%rip),%rax */
	{TEST, 3, {0x80, 0x38, 0x00}, 8, NOTHING, NONE},		 /* cmpb $0,(%rax) */
	{0x29, 1, {0x58}, 8, UNSURE, NONE},				 /* pop %rax */
	{0x2a, 6, {0x0f, 0x85}, 0, UNSURE, TO_OTHER},			 /* jne other */
	{0x30, 5, {0xe9}, 0, ORIGIN, TO_ORIGIN},			 /* jmp origin */
	{HIT, 1, {0x58}, 8, ORIGIN, NONE},				 /* pop %rax */
	{0x36, 5, {0xe9}, 0, ORIGIN, TO_ORIGIN},			 /* jmp origin */
};
#define STEPS (sizeof(gate_step) / sizeof(gate_step[0]))
_Static_assert(GATE_AT + GATE_LEN <= GATE_BACK_AT && GATE_BACK_AT + GATE_LEN <= HP_BLOCK_SIZE,
	       "the gate paths fit");

uint8_t hp_path_offset(enum hp_path p)
{
	return path[p].at;
}

uint8_t hp_path_size(enum hp_path p)
{
	return path[p].size;
}

const char *hp_path_name(enum hp_path p)
{
	return path[p].name;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* ff 25: jmp *@slot(%rip), both addresses relative to the bank. */
static void put_slot_jump(uint8_t *p, size_t at, size_t slot)
{
	p[0] = 0xff;
	p[1] = 0x25;
	put32(p + 2, (uint32_t)(slot - (at + HP_STUB_LEN)));
}

static size_t operand_at(enum operand op, size_t block, bool back)
{
	switch (op) {
	case TABLE:
		return HP_BANK_SLOTS + offsetof(struct hp_slots, table);
	case GATE_BYTE:
		return HP_BANK_SLOTS + (back ? offsetof(struct hp_slots, gate_back)
					     : offsetof(struct hp_slots, gate));
	case TO_ORIGIN:
		return block + (back ? NEW_AT : OLD_AT);
	case TO_OTHER:
		return block + (back ? OLD_AT : NEW_AT);
	case NONE:
		break;
	}
	return 0;
}

static void put_gate(uint8_t *out, size_t block, bool back)
{
	size_t from = back ? GATE_BACK_AT : GATE_AT, i;

	for (i = 0; i < STEPS; i++) {
		const struct step *s = &gate_step[i];
		size_t end = from + s->off + s->len;

		memcpy(out + from + s->off, s->bytes, s->len);
		if (s->operand != NONE)
			put32(out + end - 4, (uint32_t)(operand_at(s->operand, block, back) -
							(block + end)));
	}
}

void hp_template_fill(uint8_t *out)
{
	unsigned fn;

	/* int3: whoever gets here by mistake stops at once */
	memset(out, 0xcc, HP_TEMPLATE_SIZE);
	for (fn = 0; fn < HP_BANK_FNS; fn++) {
		size_t block = HP_BANK_TEMPLATE + fn * HP_BLOCK_SIZE, word = fn * sizeof(uint64_t);
		uint8_t *p = out + fn * HP_BLOCK_SIZE;

		p[WATCH_AT] = 0x90;
		put_slot_jump(p + WATCH_AT + 1, block + WATCH_AT + 1,
			      HP_BANK_SLOTS + offsetof(struct hp_slots, second) + word);
		put_slot_jump(p + OLD_AT, block + OLD_AT,
			      HP_BANK_SLOTS + offsetof(struct hp_slots, old) + word);
		put_slot_jump(p + NEW_AT, block + NEW_AT,
			      HP_BANK_SLOTS + offsetof(struct hp_slots, new_) + word);
		put_gate(p, block, false);
		put_gate(p, block, true);
	}
}

static int rel32(uint8_t *p, hp_addr from, hp_addr to)
{
	int64_t d = (int64_t)(to - from);

	if (d != (int32_t)d)
		return -ERANGE;
	put32(p, (uint32_t)d);
	return 0;
}

int hp_stub_fill(uint8_t out[HP_STUB_LEN], hp_addr at, hp_addr slot)
{
	uint8_t b[HP_STUB_LEN] = {0xff, 0x25};
	int r = rel32(b + 2, at + HP_STUB_LEN, slot);

	if (r == 0)
		memcpy(out, b, sizeof(b));
	return r;
}

int hp_jump_fill(uint8_t out[5], hp_addr at, hp_addr to)
{
	uint8_t b[5] = {0xe9};
	int r = rel32(b + 1, at + sizeof(b), to);

	if (r == 0)
		memcpy(out, b, sizeof(b));
	return r;
}

static enum hp_block_place gate_place(unsigned off, bool back, unsigned *pushed)
{
	size_t i;

	for (i = 0; i < STEPS; i++) {
		const struct step *s = &gate_step[i];

		if (s->off != off)
			continue;
		*pushed = s->pushed;
		if (s->decided == ORIGIN)
			return back ? HP_PLACE_NEW : HP_PLACE_OLD;
		return s->decided == NOTHING ? HP_PLACE_BEFORE : HP_PLACE_UNSURE;
	}
	return HP_PLACE_UNSURE;
}

enum hp_block_place hp_block_place(unsigned off, unsigned *pushed)
{
	*pushed = 0;
	if (off == WATCH_AT || off == WATCH_AT + 1)
		return HP_PLACE_BEFORE;
	if (off == OLD_AT)
		return HP_PLACE_OLD;
	if (off == NEW_AT)
		return HP_PLACE_NEW;
	if (off >= GATE_AT && off < GATE_AT + GATE_LEN)
		return gate_place(off - GATE_AT, false, pushed);
	if (off >= GATE_BACK_AT && off < GATE_BACK_AT + GATE_LEN)
		return gate_place(off - GATE_BACK_AT, true, pushed);
	return HP_PLACE_UNSURE;
}

unsigned hp_block_pushed(unsigned off)
{
	unsigned at = off - (off >= GATE_BACK_AT ? GATE_BACK_AT : GATE_AT);

	for (size_t i = 0; i < STEPS; i++)
		if (at - gate_step[i].off < gate_step[i].len)
			return gate_step[i].pushed;
	return 0;
}

unsigned hp_gate_test_offset(enum hp_path gate)
{
	return path[gate].at + TEST;
}

unsigned hp_gate_hit_offset(enum hp_path gate)
{
	return path[gate].at + HIT;
}
