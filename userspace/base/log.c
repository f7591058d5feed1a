/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum hp_log_level shown = HP_LOG_INFO;

void hp_log_set_level(enum hp_log_level level)
{
	shown = level;
}

void hp_log(enum hp_log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = {"<3>", "<4>", "<6>", "<7>"};
	char line[1024];
	va_list ap;
	int n;

	if (level > shown)
		return;
	/* sd-daemon(3): the journal reads the level from the prefix; a person needs none. */
	n = snprintf(line, sizeof(line), "%shpd: ", isatty(STDERR_FILENO) ? "" : prefix[level]);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody left to tell */
}
