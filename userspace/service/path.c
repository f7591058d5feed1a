/* SPDX-License-Identifier: MIT */
#include "service/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* The links of /proc lead where the process is, also out of our own root. */
static int open_start(pid_t pid, int dirfd, const char *path)
{
	char from[64];
	int fd;

	if (*path == '/')
		(void)snprintf(from, sizeof(from), "/proc/%d/root", (int)pid);
	else if (dirfd == AT_FDCWD)
		(void)snprintf(from, sizeof(from), "/proc/%d/cwd", (int)pid);
	else
		(void)snprintf(from, sizeof(from), "/proc/%d/fd/%d", (int)pid, dirfd);
	fd = open(from, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_path(pid_t pid, int dirfd, const char *path, uint64_t resolve)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = resolve};
	hp_autoclose int start = open_start(pid, dirfd, path);
	long fd;

	if (start < 0)
		return start;
	fd = syscall(SYS_openat2, start, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int hp_path_open(pid_t pid, int dirfd, const char *path)
{
	/* An absolute link on the way begins at its root; a relative path may climb above where it
	 * begins, which RESOLVE_IN_ROOT would not let it. */
	return open_path(pid, dirfd, path, *path == '/' ? RESOLVE_IN_ROOT : 0);
}

int hp_path_open_straight(pid_t pid, const char *path)
{
	return open_path(pid, AT_FDCWD, path, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

int hp_file_id_read(int fd, struct hp_file_id *ret)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*ret = (struct hp_file_id){st.st_dev, st.st_ino};
	return 0;
}

bool hp_file_id_same(const struct hp_file_id *a, const struct hp_file_id *b)
{
	return a->ino == b->ino && a->dev == b->dev;
}

int hp_path_id(pid_t pid, int dirfd, const char *path, struct hp_file_id *ret)
{
	hp_autoclose int fd = hp_path_open(pid, dirfd, path);

	return fd < 0 ? fd : hp_file_id_read(fd, ret);
}
