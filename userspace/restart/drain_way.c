/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>

#include "restart/restart.h"

bool hp_drain_parse(const char *text, enum hp_drain_way *way, int *signal)
{
	const char *colon = strchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : strlen(text);

	if (n == strlen("external") && !strncmp(text, "external", n))
		*way = HP_DRAIN_EXTERNAL;
	else if (n == strlen("graceful") && !strncmp(text, "graceful", n))
		*way = HP_DRAIN_GRACEFUL;
	else
		return false;
	*signal = 0;
	if (!colon)
		return true;
	colon += 1 + (strncmp(colon + 1, "SIG", 3) ? 0 : 3);
	for (int i = 1; i < NSIG && !*signal; i++)
		if (sigabbrev_np(i) && !strcmp(sigabbrev_np(i), colon))
			*signal = i;
	return *signal && *signal != SIGKILL && *signal != SIGSTOP;
}
