/* SPDX-License-Identifier: MIT */
/*
 * The lock, not the socket, says who serves a path: a socket left by a killed hpd refuses
 * connections and may be replaced by whoever holds the lock.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/kernel.h"
#include "hp/err.h"

#define WAIT_TRIES 20
#define WAIT_NS	   (50 * HP_MS)

static int make_dir(const char *path, struct hp_err *err)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *dir;

	snprintf(copy, sizeof(copy), "%s", path);
	dir = dirname(copy);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return hp_err_sys(err, errno, "directory %s of the socket", dir);
	return 0;
}

static int take_lock(const char *path, bool wait, int *ret, struct hp_err *err)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[256];
	hp_autoclose int fd = -1;

	snprintf(name, sizeof(name), "%s.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hp_err_sys(err, errno, "lock %s", name);
	/* Not flock(2): a fork of a killed hpd's that has not run yet would have that too. */
	for (int i = 0; fcntl(fd, F_SETLK, &whole) < 0; i++) {
		if (errno != EAGAIN && errno != EACCES)
			return hp_err_sys(err, errno, "lock %s", name);
		if (!wait || i == WAIT_TRIES)
			return hp_err_set(err, -HP_E_FAILED, "another hpd serves %s", path);
		hp_pause_ns(WAIT_NS);
	}
	*ret = HP_TAKE_FD(fd);
	return 0;
}

static int serve(const char *path, int *ret, struct hp_err *err)
{
	hp_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct group *hp = getgrnam("hp");
	mode_t mask;
	int k;

	if (fd < 0)
		return hp_err_sys(err, errno, "socket");
	memcpy(addr.sun_path, path, strlen(path));
	(void)unlink(path); /* what bind cannot replace it will say */
	mask = umask(0117);
	k = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(mask);
	if (k < 0)
		return hp_err_sys(err, -k, "bind %s", path);
	if (hp && chown(path, (uid_t)-1, hp->gr_gid) < 0)
		return hp_err_sys(err, errno, "chgrp hp %s", path);
	if (listen(fd, SOMAXCONN) < 0)
		return hp_err_sys(err, errno, "listen on %s", path);
	*ret = HP_TAKE_FD(fd);
	return 0;
}

int hp_listen_open_to(const char *path, bool everybody, struct hp_err *err)
{
	if (chmod(path, everybody ? 0666 : 0660) < 0)
		return hp_err_sys(err, errno, "chmod %s", path);
	return 0;
}

/* Front has no use for them, and where it lets go of the last one of a connection with SO_LINGER it waits for
 * as long as its sender likes, with every other client.  What is connected here has it from here. */
static void refuse_descriptors(int fd)
{
	const int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, HP_SO_PASSRIGHTS, &off, sizeof(off)); /* none in older kernels */
}

int hp_listen_open(const char *path, bool wait, int handed, int *ret_lock, int *ret_listen,
		   struct hp_err *err)
{
	hp_autoclose int lock = -1;
	int k;

	if (*path != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return hp_err_set(err, -HP_E_USAGE,
				  "socket '%s' must be an absolute path of at most 107 bytes",
				  path);
	k = make_dir(path, err);
	if (k == 0)
		k = take_lock(path, wait, &lock, err);
	if (k == 0 && handed >= 0)
		*ret_listen = handed;
	else if (k == 0)
		k = serve(path, ret_listen, err);
	if (k < 0)
		return k;
	refuse_descriptors(*ret_listen);
	*ret_lock = HP_TAKE_FD(lock);
	return 0;
}

void hp_listen_unlink(const char *path)
{
	(void)unlink(path); /* nobody is left who could mend it */
}
