/* SPDX-License-Identifier: MIT */
/* sleeper.h – a process that is only there. */
#ifndef HP_TESTS_SLEEPER_H
#define HP_TESTS_SLEEPER_H

#include <sys/types.h>

/* A child, which ends with this process at the latest. */
pid_t sleeper_start(void);
/* Ends and reaps it. */
void sleeper_end(pid_t pid);

#endif
