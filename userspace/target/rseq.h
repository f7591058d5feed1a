/* SPDX-License-Identifier: MIT */
/* target/rseq.h – restartable sequences.  Internal to target/. */
#ifndef HP_TARGET_RSEQ_H
#define HP_TARGET_RSEQ_H

#include "target/target.h"

/* Is the stopped thread, at @pc, inside a critical section of rseq(2)?  What the kernel aborts
 * there must not be taken elsewhere and put back. */
bool hp_rseq_inside(const struct hp_target *t, pid_t tid, hp_addr pc);

#endif
