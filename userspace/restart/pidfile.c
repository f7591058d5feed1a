/* SPDX-License-Identifier: MIT */
#include "restart/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "restart/generation.h"
#include "service/path.h"
#include "trust/path.h"

#define PIDFILE_MAX 64

/* The directory of @path, and in *name what it is called there.  Of the links on the way those are followed
 * that root has put there; what lies in a directory of the service's could lead anywhere, at any time. */
static int open_dir(pid_t as, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX], straight[PATH_MAX], root[64];
	int r;

	*name = slash ? slash + 1 : path;
	if ((size_t)(*name - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(*name - path), path);
	(void)snprintf(root, sizeof(root), "/proc/%d/root", (int)as);
	r = hp_root_path_links(root, dir, straight, sizeof(straight));
	return r < 0 ? r : hp_path_open_straight(as, straight);
}

/* The directory may be the service's, and anything lie there: only what is seen to be a regular file is
 * opened.  A device or a FIFO does something at that, or waits; so does a file with a lease on it. */
static int open_regular(int dir, const char *name, struct stat *st)
{
	hp_autoclose int at = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[64];
	int fd;

	if (at < 0 || fstat(at, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static pid_t read_pid(int fd)
{
	char text[PIDFILE_MAX + 2];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	pid_t pid;

	if (n < 0 || n > PIDFILE_MAX)
		return 0;
	text[n] = 0;
	pid = atoi(text);
	return pid > 0 ? pid : 0;
}

pid_t hp_pidfile_read(pid_t as, const char *path)
{
	const char *name;
	struct stat st;
	hp_autoclose int dir = open_dir(as, path, &name);
	hp_autoclose int fd = dir < 0 ? dir : open_regular(dir, name, &st);

	return fd < 0 ? 0 : read_pid(fd);
}

/* What root writes is believed of systemd: it is to be no more than the word of whom the place belongs to. */
static int write_new(int dir, const char *name, pid_t pid, const struct stat *owner)
{
	hp_autoclose int fd = -1;
	char text[16];
	int r;

	(void)unlinkat(dir, name, 0); /* of one that was killed; what cannot be removed is in the way */
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d\n", (int)pid);
	r = hp_write_all(fd, text, strlen(text));
	if (r == 0 && fchown(fd, owner->st_uid, owner->st_gid))
		r = -errno;
	return r;
}

/* Whole or not at all: a script may read it at any time. */
int hp_pidfile_restore(const char *path, pid_t pid, uint64_t start)
{
	const char *name;
	hp_autoclose int dir = open_dir(pid, path, &name), was = -1;
	struct stat place, file;
	char tmp[300];
	int r;

	if (dir < 0)
		return dir;
	/* Asked afterwards: the root was that process's. */
	if (hp_generation_start_of(pid) != start)
		return -ESRCH;
	was = open_regular(dir, name, &file);
	if (was < 0 && was != -ENOENT)
		return was;
	if (was >= 0 && read_pid(was) == pid)
		return 0;
	if (fstat(dir, &place))
		return -errno;
	(void)snprintf(tmp, sizeof(tmp), ".%.200s.hp", name);
	r = write_new(dir, tmp, pid, was >= 0 && place.st_uid == 0 ? &file : &place);
	if (r == 0 && renameat(dir, tmp, dir, name))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, tmp, 0); /* nothing was replaced */
	return r;
}
