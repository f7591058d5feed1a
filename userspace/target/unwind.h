/* SPDX-License-Identifier: MIT */
/*
 * target/unwind.h – walking a stack with the call frame information of the mapped files, which the
 * target's reader has (elf/reader.h).  Internal to target/.
 */
#ifndef HP_TARGET_UNWIND_H
#define HP_TARGET_UNWIND_H

#include <stdbool.h>
#include <sys/user.h>

#include "target/target.h"

struct hp_displaced;
struct hp_unwind;

#define HP_FRAMES_MAX (1u << 17)

struct hp_frame {
	hp_addr pc, sp;
	bool activation; /* pc is where it stands, not a return address */
	bool no_cfi;	 /* nothing is known about this pc: what would follow is a guess */
	uint64_t reg[16]; /* by DWARF's numbers; 0 where one was not kept */
};

enum hp_walk {
	HP_WALK_END,	 /* to a frame that says of itself that it is the outermost */
	HP_WALK_STOPPED, /* the callback said so */
	HP_WALK_BROKEN,	 /* an address without information, or unreadable memory */
	HP_WALK_LIMIT,	 /* more than HP_FRAMES_MAX */
};

/* Nonzero stops the walk. */
typedef int (*hp_frame_fn)(void *arg, const struct hp_frame *f);

/* The registers of the frame, to walk on from elsewhere; 0 where one was not kept. */
void hp_frame_regs(const struct hp_frame *f, struct user_regs_struct *ret);

int hp_unwind_open(struct hp_unwind **ret, struct hp_target *t, struct hp_err *err);
void hp_unwind_free(struct hp_unwind *u);

/* There will be walks: has their reader get ready meanwhile. */
int hp_unwind_expect(struct hp_unwind *u, struct hp_err *err);

/* Does now what the next walk would do first: while nobody waits. */
int hp_unwind_prepare(struct hp_unwind *u, struct hp_err *err);

/* While @d is not NULL, walks are made beside a thread that was displaced. */
void hp_unwind_displaced(struct hp_unwind *u, struct hp_displaced *d);

/* 0, or -HP_E_READER: walks end early because nobody can make them any more. */
int hp_unwind_check(const struct hp_unwind *u, struct hp_err *err);

/* From @regs outwards.  Memory is read anew in every walk. */
enum hp_walk hp_unwind_walk(struct hp_unwind *u, const struct user_regs_struct *regs,
			    hp_frame_fn fn, void *arg);

/* Did the last walk read other memory than what it had been given (hp_unwind_seed())? */
bool hp_unwind_read_more(const struct hp_unwind *u);

/* The next walk has [lo, lo+n) of the stack in @bytes, borrowed until it ends. */
void hp_unwind_seed(struct hp_unwind *u, hp_addr lo, const uint8_t *bytes, size_t n);

struct hp_looker;
struct hp_unwind *hp_looker_unwind(struct hp_looker *l);

#endif
