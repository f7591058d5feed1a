/* SPDX-License-Identifier: MIT */
/* service/procs.h – sets of processes: a program and what descends from it. */
#ifndef HP_SERVICE_PROCS_H
#define HP_SERVICE_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_procs {
	pid_t *v;
	size_t n, room;
};

/* What descends from @pid, parents before their children, and with @itself first @pid.  Zombies are
 * left out.  Replaces what @ret held.  0 or -ENOMEM. */
int hp_procs_below(struct hp_procs *ret, pid_t pid, bool itself);

/* A pidfd for each of @procs, what hp_procs_below() said of @root, that is of its descent still, or it
 * itself; -1 for the others: since then a number may have become another process's.  @root_fd is @root's,
 * and was taken when that was known to be the one that is meant; -1: @root is this process.  0, or why
 * one could not be tried; *ret is NULL only where there is no memory. */
int hp_procs_hold(const struct hp_procs *procs, pid_t root, int root_fd, int **ret);
void hp_procs_let_go(const struct hp_procs *procs, int *pidfds);

/* SIGKILL to those that hp_procs_hold() holds.  0, or why one could not be tried. */
int hp_procs_kill(const struct hp_procs *procs, pid_t root, int root_fd);

bool hp_procs_have(const struct hp_procs *procs, pid_t pid);
void hp_procs_free(struct hp_procs *procs);

/* Nothing descends from this process, which is a child subreaper: the kernel's word, where a listing
 * may miss who forks and ends all the time. */
bool hp_procs_none_below(void);

/* SIGKILL to all that descends from this process, until nothing does: what is born meanwhile, and
 * what has left its parent, included (this process must be a child subreaper).  -ETIMEDOUT. */
int hp_procs_kill_below(void);

#endif
