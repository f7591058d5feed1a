/* SPDX-License-Identifier: MIT */
/* target/unwind_priv.h – what is said between a walk and its reader; for unwind*.c only. */
#ifndef HP_TARGET_UNWIND_PRIV_H
#define HP_TARGET_UNWIND_PRIV_H

#include "base/array.h"
#include "elf/reader.h"
#include "target/unwind.h"

#define HP_WALK_WINDOW (16u << 10) /* of memory at a time */
#define HP_WALK_BATCH  64	   /* frames at a time */
#define HP_WALK_REGS   17	   /* rax, rdx, …, r15, rip: psABI 3.6.2 */
#define HP_WALK_SP     7

/* Bytes of the question; a piece of the stack follows. */
struct walk_start {
	uint64_t reg[HP_WALK_REGS];
	hp_addr lo; /* of that piece */
};

enum walk_kind {
	WALK_FRAME,
	WALK_NEED, /* memory from pc on; the last one, and it waits */
	WALK_MORE, /* the last one; it goes on when it is told to */
	WALK_DONE, /* the very last; flags is an enum hp_walk */
};

struct walk_record {
	uint32_t kind; /* enum walk_kind */
	uint32_t flags;
	hp_addr pc, sp;
	uint64_t reg[16];
};
enum { WALK_ACTIVATION = 1, WALK_NO_CFI = 2 };
_Static_assert(sizeof(struct walk_record) == 152, "no padding, which would be the reader's memory");

struct hp_unwind {
	struct hp_target *t;
	pid_t prepared; /* the reader that was; 0: none */
	bool lacks;	/* a file that a walk came to */
	struct hp_displaced *displaced;
	/* one walk */
	HP_ARRAY(struct hp_frame) frames;
	hp_addr seed_lo;
	const uint8_t *seed;
	size_t seed_n;
	bool read_more;
};

/* In the reader: the question's arg is the struct hp_target. */
int hp_walk_answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err);

#endif
