/* SPDX-License-Identifier: MIT */
#include "restart/shield.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "service/path.h"

static int open_path(const struct hp_listener *l, pid_t pid)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&l->addr;
	char path[sizeof(un->sun_path) + 1] = "";

	memcpy(path, un->sun_path, sizeof(un->sun_path));
	return hp_path_open(pid, AT_FDCWD, path);
}

static bool is_still(const struct hp_listener *l, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == l->file.ino && st.st_dev == l->file.dev;
}

static int mount_one(const struct hp_listener *l, pid_t pid)
{
	hp_autoclose int at = open_path(l, pid), tree = -1;

	if (at < 0)
		return at;
	if (!is_still(l, at))
		return -ESTALE;
	tree = open_tree(at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	return move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
		       ? -errno
		       : 0;
}

/* What is on top is the last that was mounted, and it is the same file. */
static int unmount_one(const struct hp_listener *l, pid_t pid)
{
	hp_autoclose int at = open_path(l, pid);
	char path[64];

	if (at < 0)
		return at;
	if (!is_still(l, at))
		return -ESTALE;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	return umount2(path, MNT_DETACH) ? -errno : 0;
}

static int unmount_all(const struct hp_listeners *l, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (l->v[i].file.ino)
			(void)unmount_one(&l->v[i], pid); /* then it is gone with its directory */
	return 0;
}

static int mount_all(const struct hp_listeners *l, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++) {
		int r = l->v[i].file.ino ? mount_one(&l->v[i], pid) : 0;

		if (r < 0) {
			(void)unmount_all(l, i, pid); /* what was mounted is ours */
			return r;
		}
	}
	return 0;
}

/* In a child, which enters the namespace.  A mount namespace is one process's own affair, so that
 * of the caller is kept. */
static int inside(const struct hp_listeners *l, pid_t pid,
		  int (*fn)(const struct hp_listeners *l, size_t n, pid_t pid))
{
	hp_autoclose int pidfd = pidfd_open(pid, 0);
	int status;
	pid_t child;

	if (pidfd < 0)
		return -errno;
	child = fork();
	if (child == 0)
		_exit(setns(pidfd, CLONE_NEWNS) ? errno : -fn(l, l->n, pid));
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static bool any(const struct hp_listeners *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].file.ino)
			return true;
	return false;
}

int hp_shield_raise(const struct hp_listeners *l, pid_t pid, struct hp_err *err)
{
	int r = any(l) ? inside(l, pid, mount_all) : 0;

	if (r < 0)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d may remove its unix socket when it ends, and hp cannot "
				  "keep it from that by a mount: %s",
				  (int)pid, strerror(-r));
	return 0;
}

void hp_shield_lower(const struct hp_listeners *l, pid_t pid)
{
	if (any(l))
		(void)inside(l, pid, unmount_all); /* there is no such namespace any more */
}
