/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/journal.h"

static enum hp_log_level shown = HP_LOG_INFO;

void hp_log_set_level(enum hp_log_level level)
{
	shown = level;
}

enum hp_log_level hp_log_level(void)
{
	return shown;
}

static void (*sink)(enum hp_log_level level, const char *line);

void hp_log_set_sink(void (*put)(enum hp_log_level level, const char *line))
{
	sink = put;
}

static void to_stderr(int priority, const char *message)
{
	char line[1100];
	int n;

	/* sd-daemon(3): what reads us takes the level from the prefix; a person needs none. */
	if (isatty(STDERR_FILENO))
		n = snprintf(line, sizeof(line), "hpd: %s\n", message);
	else
		n = snprintf(line, sizeof(line), "<%d>hpd: %s\n", priority, message);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody left to tell */
}

__attribute__((format(printf, 3, 0))) static void put(enum hp_log_level level,
						      const struct hp_log_about *about,
						      const char *fmt, va_list ap)
{
	/* syslog(3)'s: err, warning, info, debug */
	static const int priorities[] = {3, 4, 6, 7};
	char message[1024];

	if (level > shown)
		return;
	vsnprintf(message, sizeof(message), fmt, ap);
	for (char *p = message; *p; p++)
		if (*p == '\n')
			*p = ' ';
	if (sink)
		sink(level, message);
	else if (!hp_journal_is_stderr() || !hp_journal_send(priorities[level], about, message))
		to_stderr(priorities[level], message);
}

void hp_log(enum hp_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(level, NULL, fmt, ap);
	va_end(ap);
}

void hp_log_about(enum hp_log_level level, const struct hp_log_about *about, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(level, about, fmt, ap);
	va_end(ap);
}
