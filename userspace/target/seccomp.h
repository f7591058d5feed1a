/* SPDX-License-Identifier: MIT */
/* target/seccomp.h – what a program's own seccomp filters allow.  Internal to target/. */
#ifndef HP_TARGET_SECCOMP_H
#define HP_TARGET_SECCOMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

/* Is there a filter on the thread at all? */
bool hp_seccomp_filtered(pid_t tid);

/* Would every filter of the thread, which is stopped by us, let this system call through?  @after:
 * what its rip is then, behind the instruction.  False also when that cannot be found out. */
bool hp_seccomp_allows(pid_t tid, hp_addr after, long nr, const uint64_t args[6]);

#endif
