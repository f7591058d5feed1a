/* SPDX-License-Identifier: MIT */
/*
 * target/held.c – a thread that the cgroup freezer holds can be stopped and read like any other, but
 * what it is made to run begins when it is thawed: cgroups(7), kernel/cgroup/freezer.c.
 */
#include "target/held.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "target/procfs.h"

#define FILE_MAX (64u << 10)

/* Where the cgroups of each kind are to be found, and what a frozen one says. */
static const struct {
	const char *line; /* in /proc/PID/cgroup, before the path */
	const char *mount, *file, *says;
} freezers[] = {
	{"0::", "/sys/fs/cgroup", "cgroup.events", "frozen 1"},
	{"0::", "/sys/fs/cgroup/unified", "cgroup.events", "frozen 1"},
	{":freezer:", "/sys/fs/cgroup/freezer", "freezer.state", "FR"}, /* FREEZING, FROZEN */
};

static bool says(const char *path, const char *what)
{
	char *text;
	bool found;

	if (hp_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return false;
	found = strstr(text, what) != NULL;
	free(text);
	return found;
}

static bool frozen(pid_t pid)
{
	char path[4096], *text;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (hp_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL) < 0)
		return false;
	for (size_t i = 0; i < sizeof(freezers) / sizeof(freezers[0]) && !found; i++) {
		const char *group = strstr(text, freezers[i].line);

		if (!group)
			continue;
		group += strlen(freezers[i].line);
		(void)snprintf(path, sizeof(path), "%s%.*s/%s", freezers[i].mount,
			       (int)strcspn(group, "\n"), group, freezers[i].file);
		found = says(path, freezers[i].says);
	}
	free(text);
	return found;
}

const char *hp_held_up(pid_t pid)
{
	struct hp_stat st;

	if (hp_stat_read(pid, &st) == 0 && st.state == 'T')
		return "is stopped by a signal; continue it (SIGCONT)";
	return frozen(pid) ? "is frozen by its cgroup; thaw it" : NULL;
}
