/* SPDX-License-Identifier: MIT */
/* upgrade/child.h – a new process, from its start until it is ready or gone. */
#ifndef HP_UPGRADE_CHILD_H
#define HP_UPGRADE_CHILD_H

#include <signal.h>
#include <sys/types.h>

struct hp_err;
struct hp_fds;

struct hp_child {
	pid_t pid; /* 0: there is none */
	int process, sock, timer;
	int events;	/* readable when hp_child_step() has something to do */
	int given_up;	/* the negative code for which it was killed, or 0 */
};

/* Starts @argv in @cwd with what is used of @f. */
int hp_child_begin(struct hp_child *a, struct hp_fds *f, const char *cwd, char *const *argv,
		     const sigset_t *mask, unsigned timeout_ms, struct hp_err *err);

/* Never waits.  1: the new process is ready; *ret_sock is to stay open as long as this process lives.
 * 0: not yet.  Negative: it is gone. */
int hp_child_step(struct hp_child *a, int *ret_sock, struct hp_err *err);

/* Kills it; hp_child_step() then returns @code when it is gone. */
void hp_child_give_up(struct hp_child *a, int code);

/* Kills and reaps it, if there is one. */
void hp_child_end(struct hp_child *a);

#endif
