/* SPDX-License-Identifier: MIT */
/* reborn.h – a process of a number that another one had. */
#ifndef HP_TESTS_REBORN_H
#define HP_TESTS_REBORN_H

#include <sys/types.h>

/* As tied_fork(), in place of @pid, a child, which is ended and reaped. */
pid_t reborn_fork(pid_t pid);

#endif
