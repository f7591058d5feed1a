/* SPDX-License-Identifier: MIT */
/* tied.h – a process that dies with its parent. */
#ifndef TIED_H
#define TIED_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* In a child of @parent; to be called again when it has changed its user, which cuts the tie. */
static inline void tied_to(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Of a parent that died before that no signal comes. */
	if (getppid() != parent)
		raise(SIGKILL);
}

static inline pid_t tied_fork(void)
{
	pid_t us = getpid(), p = fork();

	if (p == 0)
		tied_to(us);
	return p;
}

#endif
