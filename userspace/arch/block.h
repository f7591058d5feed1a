/* SPDX-License-Identifier: MIT */
/*
 * arch/block.h – the paths of a patched function: stub, slots and path block.
 *
 * Three mappings at fixed distances make a *bank*, good for HP_BANK_FNS functions in one 2 GB
 * neighbourhood:
 *
 *	bank + 0			slot page (struct hp_slots), data, written by hpd only
 *	bank + HP_BANK_FILE		the template's file (arch/template.h), never written, in which
 *	bank + HP_BANK_TEMPLATE		HP_BANK_FNS blocks of 256 bytes lie
 *	bank + HP_BANK_MOVED		one moved head (arch/code.h) a function
 *
 * The template's bytes are the same for every function of every target for ever (they only depend
 * on the block's number), because a uprobe that leaked in the kernel is keyed by inode and offset
 * and carries a copy of the instruction; see docs/ARCHITECTURE.md.
 *
 * F:    E9 ─▶ stub: jmp *door ─▶ one path of block i of the topmost patch on F:
 *	watch		nop (carries the entry probe); jmp *second[i]
 *	old		jmp *old[i]
 *	new		jmp *new[i]
 *	gate		push rax; draining table; cmp gate byte; pop rax; zero: old, else new
 *	gate_back	the same with old and new exchanged (an unload)
 *
 * At rest the door holds the new function itself, which saves the last jump (patch/chain.h).
 *
 * old[i] is the moved head, or, with another patch below, that one's inner stub: jmp *first[i], which
 * says what the door says for the topmost.
 *
 * Every path lies in one aligned 256-byte block, so a slot moves between them by one byte.
 * No path changes a register or the stack below the caller's frame when it is left.
 */
#ifndef HP_ARCH_BLOCK_H
#define HP_ARCH_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define HP_BANK_FNS	 96
#define HP_BLOCK_SIZE	 256
#define HP_MOVED_ROOM	 256
#define HP_STUB_LEN	 6
#define HP_STUB_ROOM	 8
#define HP_BANK_SLOTS	 0x0
#define HP_BANK_FILE	 0x1000
#define HP_TEMPLATE_AT	 0x3000 /* in the file, behind headers and call frame information */
#define HP_BANK_TEMPLATE (HP_BANK_FILE + HP_TEMPLATE_AT)
#define HP_TEMPLATE_SIZE (HP_BANK_FNS * HP_BLOCK_SIZE)
#define HP_BANK_MOVED	 (HP_BANK_TEMPLATE + HP_TEMPLATE_SIZE)
#define HP_BANK_SIZE	 (HP_BANK_MOVED + HP_BANK_FNS * HP_MOVED_ROOM)

/* Two pages behind a bank that may outlive it: the doors, and stubs for entries whose jump can lead
 * anywhere.  A stub jumps through its door, a word that holds a path of the function's topmost
 * patch or, at rest, its new function; both stay for as long as any patch is on the function. */
#define HP_BANK_DOORS HP_BANK_SIZE
#define HP_BANK_STUBS (HP_BANK_DOORS + HP_PAGE)
#define HP_BANK_ROOM  (HP_BANK_STUBS + HP_PAGE)

/* The slot page.  first, second hold addresses of paths; old, new of code. */
struct hp_slots {
	uint64_t first[HP_BANK_FNS];
	uint64_t second[HP_BANK_FNS];
	uint64_t old[HP_BANK_FNS];
	uint64_t new_[HP_BANK_FNS];
	uint64_t gate;	     /* address of the gate byte of a load */
	uint64_t gate_back;  /* … of an unload */
	uint64_t table;	     /* address of the draining table */
};
_Static_assert(sizeof(struct hp_slots) <= HP_PAGE, "the slots fill one page");

enum hp_path { HP_PATH_WATCH, HP_PATH_OLD, HP_PATH_NEW, HP_PATH_GATE, HP_PATH_GATE_BACK, HP_PATHS };

/* Offset of @p in a block; also the low byte of a slot that shows it. */
uint8_t hp_path_offset(enum hp_path p);

/* Its name for people, and its length in bytes. */
const char *hp_path_name(enum hp_path p);
uint8_t hp_path_size(enum hp_path p);

static inline hp_addr hp_block_addr(hp_addr bank, unsigned fn)
{
	return bank + HP_BANK_TEMPLATE + fn * HP_BLOCK_SIZE;
}

static inline hp_addr hp_moved_addr(hp_addr bank, unsigned fn)
{
	return bank + HP_BANK_MOVED + fn * HP_MOVED_ROOM;
}

/* What a patch above on the same function takes for its old code: a stub through first[fn]. */
static inline hp_addr hp_inner_stub(hp_addr bank, unsigned fn)
{
	return hp_moved_addr(bank, fn) + HP_MOVED_ROOM - HP_STUB_ROOM;
}

static inline hp_addr hp_door_addr(hp_addr bank, unsigned fn)
{
	return bank + HP_BANK_DOORS + 8ull * fn;
}

static inline hp_addr hp_near_stub(hp_addr bank, unsigned fn)
{
	return bank + HP_BANK_STUBS + (hp_addr)HP_STUB_ROOM * fn;
}

/* Offset in the template file of the probed nop of function @fn. */
static inline uint64_t hp_watch_offset(unsigned fn)
{
	return HP_TEMPLATE_AT + (uint64_t)fn * HP_BLOCK_SIZE;
}

/* All blocks: HP_TEMPLATE_SIZE bytes. */
void hp_template_fill(uint8_t *out);

/* A stub: HP_STUB_LEN bytes, jmp *slot(%rip). */
int hp_stub_fill(uint8_t out[HP_STUB_LEN], hp_addr at, hp_addr slot);

/* E9 at @at to @to; -ERANGE when it does not reach. */
int hp_jump_fill(uint8_t out[5], hp_addr at, hp_addr to);

/* What a pc @off bytes into a block means for the thread that stands there. */
enum hp_block_place {
	HP_PLACE_BEFORE, /* nothing is decided: as a caller that is about to call F */
	HP_PLACE_OLD,	 /* decided: runs the old code next */
	HP_PLACE_NEW,	 /* decided: runs the new code next */
	HP_PLACE_UNSURE, /* between the gate's test and its branch, or no instruction's start */
};

/* *pushed: how many bytes rsp lies below its value at the entry (8 between push and pop).
 * The test of the gate byte itself, where a parked thread stands, is HP_PLACE_BEFORE. */
enum hp_block_place hp_block_place(unsigned off, unsigned *pushed);

/* The same for whatever instruction covers @off. */
unsigned hp_block_pushed(unsigned off);

/* Offsets in a block: the instruction that reads the gate byte, where rax is pushed; and where a
 * thread found there is sent to go on in the path of origin ("pop %rax; jmp"). */
unsigned hp_gate_test_offset(enum hp_path gate);
unsigned hp_gate_hit_offset(enum hp_path gate);

/* The draining table: one page of pairs {lo, hi} of stack pointers, ended by the first lo = 0.
 * A call whose rsp after the gate path's push (so the entry's rsp - 8) is ≥ lo and < hi goes to
 * the path of origin without asking the gate.  lo = ~0 closes an entry.  Written by hpd while
 * others read: lo = ~0, then hi, then lo; an entry torn in between is closed, never wider. */
struct hp_drain_entry {
	uint64_t lo, hi;
};
#define HP_DRAIN_MAX (HP_PAGE / sizeof(struct hp_drain_entry) - 1)

#endif
