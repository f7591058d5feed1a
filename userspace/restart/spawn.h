/* SPDX-License-Identifier: MIT */
/* restart/spawn.h – the first process of a new generation. */
#ifndef HP_RESTART_SPAWN_H
#define HP_RESTART_SPAWN_H

#include <sys/types.h>

struct hp_err;
struct hp_spec;
struct hp_traced;

/* Starts it, under a filter whose descriptor is *notify_fd; or traced by @traced, where that is not
 * NULL, and without one.  The child has executed its program when this returns; -HP_E_NEW_PROCESS
 * when it could not, and is gone. */
int hp_generation_spawn(const struct hp_spec *spec, struct hp_traced *traced, pid_t *ret_pid,
			int *ret_notify_fd, struct hp_err *err);

#endif
