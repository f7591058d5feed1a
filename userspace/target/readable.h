/* SPDX-License-Identifier: MIT */
/*
 * target/readable.h – how far memory can be read, which a mapping's end does not tell: since Linux
 * 6.13 guard pages need no mapping of their own (MADV_GUARD_INSTALL), and glibc 2.42 puts them
 * below thread stacks, which the kernel then merges into one mapping.
 */
#ifndef HP_TARGET_READABLE_H
#define HP_TARGET_READABLE_H

#include "target/target.h"

/* As many of the @n bytes from @at on as can be read; 0: not even the first. */
size_t hp_mem_read_some(const struct hp_target *t, hp_addr at, void *buf, size_t n);

/* Where the first page begins that cannot be read, from @at on; @hi: none does before. */
hp_addr hp_mem_readable_to(const struct hp_target *t, hp_addr at, hp_addr hi);

/* What is right above the highest guard page in [@lo, @hi); 0: there is none, or the kernel does not tell
 * of those without a mapping (Linux 6.15 does, in /proc/PID/pagemap). */
hp_addr hp_mem_above_guard(const struct hp_target *t, hp_addr lo, hp_addr hi);

#endif
