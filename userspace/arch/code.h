/* SPDX-License-Identifier: MIT */
/*
 * arch/code.h – reading a function's machine code (x86-64, Zydis): its head, its ways out, its
 * parts.  Addresses are vaddr of the image; nothing here knows a process.
 */
#ifndef HP_ARCH_CODE_H
#define HP_ARCH_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct hp_err;
struct hp_image;
struct hp_symtab;
struct hp_cfi;

/* A jump over the entry: E9 rel32. */
#define HP_JUMP_LEN 5
/* Room that a relocated head may need: its instructions widened, and a far jump back. */
#define HP_HEAD_MAX   32
#define HP_MOVED_MAX  160

/* The first instructions of a function. */
struct hp_head {
	hp_addr at;		    /* of the function, vaddr */
	uint8_t bytes[HP_HEAD_MAX]; /* as in the file */
	size_t first_len;	    /* of the first instruction */
	size_t jump_len;	    /* of the whole instructions that cover HP_JUMP_LEN; 0: too short */
	bool first_is_nop5;	    /* 0f 1f 44 00 00: the kernel may rewrite it under a uprobe */
	hp_addr pun;		    /* at + 5 + the 4 bytes after the first, as rel32 */
};

/* Reads the head of the function [at, at+size); @size 0: unknown, whatever lies there is the
 * function's.  Padding (int3, nop) behind a short function counts for jump_len.  -HP_E_ENTRY by
 * name: the first instruction cannot be decoded, is a breakpoint, or is longer than the function;
 * fewer than five bytes are left in the segment.  A function that is too short for a jump, or
 * cannot be decoded behind its first instruction, has jump_len 0. */
int hp_head_read(struct hp_head *ret, const struct hp_image *im, const char *name, hp_addr at,
		 uint64_t size, struct hp_err *err);

/* The first @len bytes (first_len or jump_len) of the head, rewritten to run at @to, followed by a
 * jump to at+len (through 8 bytes of absolute address: no reach limit).  RIP-relative operands are
 * re-based (refused beyond 2 GB), jcc/jmp/call rel become absolute, a call pushes the original
 * return address, endbr64 stays.  -HP_E_ENTRY names an instruction that cannot be moved (loop,
 * jrcxz, xbegin, a branch into the head itself, …).  *ret_n ≤ HP_MOVED_MAX.
 * The jumps are absolute, so h->at has to be the process' address as @to is: add the bias. */
int hp_head_move(const struct hp_head *h, size_t len, hp_addr to, uint8_t out[HP_MOVED_MAX],
		 size_t *ret_n, struct hp_err *err);

/* Where in the function a thread stands whose pc is @off bytes into what hp_head_move() made of
 * @h with the same @len and @to: the offset in the head (len when it is past the head). */
size_t hp_head_moved_back(const struct hp_head *h, size_t len, hp_addr to, size_t off);

/* Does that thread stand in the middle of a moved call, the return address pushed already (so that
 * its rsp is 8 lower than the place in the head tells)? */
bool hp_head_moved_in_call(const struct hp_head *h, size_t len, hp_addr to, size_t off);

#define HP_PARTS_MAX 16

/* A function's body as it is laid out: hot part first, then cold parts. */
struct hp_flow {
	struct hp_range part[HP_PARTS_MAX];
	size_t n_parts;
	hp_addr *exit; /* every RET, and every jump that is a tail call; by address */
	size_t n_exits;
	bool back_to_entry;   /* F branches to its own first byte, and it is no tail call */
	bool into_head;	      /* F branches into its bytes 1..4 */
	bool exits_unknown;   /* a jump that may be a tail call or not: cannot be watched */
	hp_addr unknown_at;   /* the first such */
	bool ends_in_call;    /* the last instruction is a call: return addresses may equal hi */
};

/* Follows @size bytes at @at and its cold parts: `name.cold*` symbols, and FDEs reached by a jump
 * whose first CFI row is not a function entry's.  A direct jump out of all parts is an exit.  An
 * indirect one is a jump table when CFI says CFA != rsp+8 there, or when it is seen to be one; an
 * exit when it is proven that it goes through a pointer to elsewhere; else exits_unknown.
 * -HP_E_ENTRY when the body cannot be decoded. */
int hp_flow_read(struct hp_flow *ret, const struct hp_image *im, const struct hp_symtab *st,
		 const struct hp_cfi *cfi, const char *name, hp_addr at, uint64_t size,
		 struct hp_err *err);
void hp_flow_free(struct hp_flow *f);

/* Can every way out carry a probe?  Not when one is unknown; and not, in a function whose entry is
 * @patched, when one lies in the first HP_JUMP_LEN bytes: they are the jump, and a breakpoint there
 * would make it lead elsewhere.  *at (may be NULL): the first that cannot. */
bool hp_flow_watchable(const struct hp_flow *f, bool patched, hp_addr *at);

/* Does the function at @at realign its stack before it uses it (force_align_arg_pointer, or an
 * `and $-16,%rsp` in its prologue)? */
bool hp_code_realigns(const struct hp_image *im, hp_addr at, uint64_t size);

#endif
