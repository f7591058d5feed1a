/* SPDX-License-Identifier: MIT */
/* target/safepoint.h – may a thread run code that calls libc, where it stands?  Internal. */
#ifndef HP_TARGET_SAFEPOINT_H
#define HP_TARGET_SAFEPOINT_H

#include "target/look.h"

/* Does the stack of the thread show no allocator, stdio, loader or other libc code but the
 * wrapper of the call that it is blocked in?  @stopped: it is stopped by the caller; else it is
 * read without stopping it, and the answer is a guess.  @why (n bytes): what stood in the way. */
bool hp_safepoint(struct hp_looker *l, pid_t tid, bool stopped, char *why, size_t n);

#endif
