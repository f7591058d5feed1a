/* SPDX-License-Identifier: MIT */
/* upgrade/spawn.h – a new process with chosen descriptors and nothing else of this one's. */
#ifndef HP_UPGRADE_SPAWN_H
#define HP_UPGRADE_SPAWN_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_err;

#define HP_SPAWN_PIDS 2
#define HP_SPAWN_PID_ROOM 12

struct hp_spawn {
	char *const *argv; /* argv[0] is looked up in $PATH when it has no slash */
	char *const *envp;
	const char *cwd;
	/* Its descriptors from @first on; 0 to 2 stay, all others are closed. */
	const int *fds;
	size_t n_fds;
	int first;
	const sigset_t *mask;
	/* In strings of @envp: where the new process's pid is written in decimal, with room for it; or
	 * NULL. */
	char *pid_at[HP_SPAWN_PIDS];
};

/* The pid, once the program runs in it, and a descriptor of it.  The caller reaps. */
pid_t hp_spawn(const struct hp_spawn *s, int *ret_process, struct hp_err *err);

#endif
