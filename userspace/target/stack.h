/* SPDX-License-Identifier: MIT */
/* target/stack.h – whose memory a stack pointer points into. */
#ifndef HP_TARGET_STACK_H
#define HP_TARGET_STACK_H

#include "target/target.h"

#define HP_STACK_MAX  (8u << 20) /* no more of a stack is looked at */
#define HP_TCB_WITHIN 8192 /* of its end: sizeof(struct pthread) is 2,304 in glibc 2.36, less in musl */

/* The mapping that @sp is in, reading the maps again when it is not known; false: none. */
bool hp_stack_range(struct hp_target *t, hp_addr sp, struct hp_range *ret, bool *main_stack);

/* Does a thread control block, which C libraries put above a thread's stack, lie within
 * [@from, @to), before a page that cannot be read?  It begins with a pointer to itself. */
bool hp_stack_has_tcb(const struct hp_target *t, hp_addr from, hp_addr to);

/* Where the lowest control block within [@from, @to) begins, however far that is; 0: there is none. */
hp_addr hp_stack_first_tcb(const struct hp_target *t, hp_addr from, hp_addr to);

/* Does a thread's own stack, which @sp is in, end at @top, below which all can be read? */
bool hp_stack_ends_at(const struct hp_target *t, hp_addr sp, hp_addr top);

/* Is @sp on a thread's own stack: the main one, or one with a control block at its top, HP_STACK_MAX
 * above it at most?  A coroutine's or an alternate signal stack is none.  *ret: from where the mapping
 * begins, in which others may lie below it, to its top. */
bool hp_stack_is_own(struct hp_target *t, hp_addr sp, struct hp_range *ret);
/* The same, with maps that are read again where it seems not to be. */
bool hp_stack_recognised(struct hp_target *t, hp_addr sp, struct hp_range *ret);

#endif
