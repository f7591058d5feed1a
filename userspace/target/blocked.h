/* SPDX-License-Identifier: MIT */
/* target/blocked.h – the system call that a thread is blocked in, as /proc tells it. */
#ifndef HP_TARGET_BLOCKED_H
#define HP_TARGET_BLOCKED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

struct hp_blocked {
	bool running; /* or runnable: then the rest is not known */
	long nr;      /* -1: off the CPU outside a system call */
	uint64_t args[6];
	hp_addr sp;
};

/* False when the thread is gone, or may not be asked. */
bool hp_blocked_read(struct hp_blocked *ret, pid_t pid, pid_t tid);

#endif
