/* SPDX-License-Identifier: MIT */
#include "base/lifeline.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Of this process, not of one that it forks: there the kernel has cut the tie. */
static pid_t tied, tied_to;

/* prctl() fails for a wrong signal number only. */
static void tie(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Of a parent that died before that no signal comes. */
	if (getppid() != tied_to)
		(void)kill(getpid(), SIGKILL);
}

void hp_lifeline_tie(pid_t parent)
{
	tied = getpid();
	tied_to = parent;
	tie();
}

void hp_lifeline_cut(void)
{
	tied_to = 0;
}

void hp_lifeline_hold(void)
{
	if (tied == getpid())
		(void)prctl(PR_SET_PDEATHSIG, 0);
}

void hp_lifeline_resume(void)
{
	if (tied == getpid())
		tie();
}
