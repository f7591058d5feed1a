/* SPDX-License-Identifier: MIT */
#include "target/blocked.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* "running", "-1 sp pc" (blocked outside a call) or "nr a0 … a5 sp pc": proc(5). */
bool hp_blocked_read(struct hp_blocked *ret, pid_t pid, pid_t tid)
{
	char path[64], *text, *p;

	*ret = (struct hp_blocked){.nr = -1};
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	if (hp_read_file(AT_FDCWD, path, 512, &text, NULL) < 0)
		return false;
	if (strncmp(text, "running", 7) == 0) {
		ret->running = true;
	} else {
		p = text;
		ret->nr = strtol(p, &p, 10);
		for (int i = 0; i < 6 && ret->nr >= 0; i++)
			ret->args[i] = strtoull(p, &p, 16);
		ret->sp = strtoull(p, &p, 16);
	}
	free(text);
	return true;
}
