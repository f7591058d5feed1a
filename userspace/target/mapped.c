/* SPDX-License-Identifier: MIT */
/*
 * The device is the one that stat tells, which is a subvolume's or a layer's own.  The time of the last
 * change tells snapshots apart where even that is shared (bcachefs): while it is equal, so is what was
 * in the file.
 */
#include "target/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PATH_LEN 96

static const char *path_of(pid_t pid, const struct hp_map *m, char path[PATH_LEN])
{
	(void)snprintf(path, PATH_LEN, "/proc/%d/map_files/%llx-%llx", (int)pid,
		       (unsigned long long)m->lo, (unsigned long long)m->hi);
	return path;
}

int hp_mapped_open(pid_t pid, const struct hp_map *m)
{
	char path[PATH_LEN];
	int fd = open(path_of(pid, m, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

/* Without asking a file system that takes its time, which may be the process's own. */
static int id_at(int dirfd, const char *path, int flags, struct hp_mapped_id *ret)
{
	struct statx st;

	if (statx(dirfd, path, flags | AT_STATX_DONT_SYNC, STATX_INO | STATX_CTIME, &st))
		return -errno;
	*ret = (struct hp_mapped_id){.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
				     .ino = st.stx_ino,
				     .changed_s = st.stx_ctime.tv_sec,
				     .changed_ns = st.stx_ctime.tv_nsec};
	return 0;
}

int hp_mapped_id(pid_t pid, const struct hp_map *m, struct hp_mapped_id *ret)
{
	char path[PATH_LEN];

	return id_at(AT_FDCWD, path_of(pid, m, path), 0, ret);
}

int hp_mapped_id_of_fd(int fd, struct hp_mapped_id *ret)
{
	return id_at(fd, "", AT_EMPTY_PATH, ret);
}

bool hp_mapped_same(const struct hp_mapped_id *a, const struct hp_mapped_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->changed_s == b->changed_s &&
	       a->changed_ns == b->changed_ns;
}
