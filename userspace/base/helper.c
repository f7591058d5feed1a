/* SPDX-License-Identifier: MIT */
/*
 * A helper ends by itself at the end of its socket, so it must not hold a copy of anybody else's
 * end, and a Ctrl-C meant for hpd must not reach it: what it does at its end takes time.
 */
#include "base/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/lifeline.h"

static int ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int close_others(const int *keep, size_t n)
{
	int sorted[HP_HELPER_FDS_MAX];
	unsigned first = 0;

	memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(*sorted), ascending);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)sorted[i];

		if (fd > first && close_range(first, fd - 1, 0))
			return -errno;
		first = fd + 1;
	}
	return close_range(first, ~0u, 0) ? -errno : 0;
}

static void ignore_signals(void)
{
	for (int i = 1; i <= SIGRTMAX; i++) {
		switch (i) {
		case SIGSEGV:
		case SIGBUS:
		case SIGILL:
		case SIGFPE:
		case SIGABRT:
		case SIGSYS:
			continue; /* ours: faults and seccomp must still end it */
		}
		(void)signal(i, SIG_IGN); /* fails for SIGKILL, SIGSTOP and glibc's own two */
	}
}

int hp_helper_strip(const char *name, const int *keep, size_t n)
{
	if (n > HP_HELPER_FDS_MAX)
		return -E2BIG;
	hp_lifeline_cut();
	ignore_signals();
	(void)prctl(PR_SET_NAME, name); /* for people; cannot fail with a valid string */
	return close_others(keep, n);
}

int hp_helper_begin(const char *name, const int *keep, size_t n)
{
	(void)setsid(); /* fails for a group leader only: a fork is none */
	return hp_helper_strip(name, keep, n);
}
