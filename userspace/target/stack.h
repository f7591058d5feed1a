/* SPDX-License-Identifier: MIT */
/* target/stack.h – whose memory a stack pointer points into.  Internal to target/. */
#ifndef HP_TARGET_STACK_H
#define HP_TARGET_STACK_H

#include "target/target.h"

/* The mapping that @sp is in, reading the maps again when it is not known; false: none. */
bool hp_stack_range(struct hp_target *t, hp_addr sp, struct hp_range *ret, bool *main_stack);

/* Does a thread control block, which C libraries put above a thread's stack, lie within
 * [@from, @to)?  It begins with a pointer to itself. */
bool hp_stack_has_tcb(const struct hp_target *t, hp_addr from, hp_addr to);

/* Is @sp on a thread's own stack: the main one, or one with a control block at its top? A
 * coroutine's or an alternate signal stack is none. */
bool hp_stack_recognised(struct hp_target *t, hp_addr sp, struct hp_range *ret);

#endif
