/* SPDX-License-Identifier: MIT */
/* daemon/confined.h – what holds hp's own processes, as the kernel tells it. */
#ifndef HP_DAEMON_CONFINED_H
#define HP_DAEMON_CONFINED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/confine.h"

/* "uid 65530, root /run/hp/empty, capabilities 0, no new privileges, system calls filtered";
 * whether that is what @role has. */
bool hp_confined_is(pid_t pid, enum hp_role role, char *buf, size_t n);
/* The same of a child that takes the role on. */
bool hp_confined_try(enum hp_role role, char *buf, size_t n);
/* "uid 0, 13 of 41 capabilities in force" */
void hp_confined_monitor(pid_t pid, char *buf, size_t n);

#endif
