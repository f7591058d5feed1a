/* SPDX-License-Identifier: MIT */
/* target/held.h – a process none of whose threads can run now.  Internal to target/. */
#ifndef HP_TARGET_HELD_H
#define HP_TARGET_HELD_H

#include <sys/types.h>

/* "is stopped by a signal; continue it (SIGCONT)", to follow its name; NULL: it can run. */
const char *hp_held_up(pid_t pid);

#endif
