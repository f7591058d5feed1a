/* SPDX-License-Identifier: MIT */
#include "restart/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "service/path.h"

/* The directory of @path, and in *name what it is called there. */
static int open_dir(pid_t as, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];

	*name = slash ? slash + 1 : path;
	if ((size_t)(*name - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	(void)snprintf(dir, sizeof(dir), "%.*s.", (int)(*name - path), path);
	return hp_path_open(as, AT_FDCWD, dir);
}

static pid_t read_pid(int dir, const char *name)
{
	char *text;
	pid_t pid;

	if (hp_read_file(dir, name, 64, &text, NULL) < 0)
		return 0;
	pid = atoi(text);
	free(text);
	return pid > 0 ? pid : 0;
}

pid_t hp_pidfile_read(pid_t as, const char *path)
{
	const char *name;
	hp_autoclose int dir = open_dir(as, path, &name);

	return dir < 0 ? 0 : read_pid(dir, name);
}

/* Whole or not at all: a script may read it at any time. */
int hp_pidfile_restore(const char *path, pid_t pid)
{
	const char *name;
	hp_autoclose int dir = open_dir(pid, path, &name), fd = -1;
	char tmp[300], text[16];
	int r;

	if (dir < 0)
		return dir;
	if (read_pid(dir, name) == pid)
		return 0;
	(void)snprintf(tmp, sizeof(tmp), ".%.200s.hp", name);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d\n", (int)pid);
	r = hp_write_all(fd, text, strlen(text));
	if (r == 0 && renameat(dir, tmp, dir, name))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, tmp, 0); /* nothing was replaced */
	return r;
}
