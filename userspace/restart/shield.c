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

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"
#include "service/path.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u /* from Linux 6.8 on: a number that no other gets later */
#endif

/* A path: what is on top of it now, and what is to be. */
struct place {
	const struct hp_listener *of;
	int at, tree;
};

/* A process that enters another mount namespace: that is one process's own affair, and so that of the
 * caller is kept.  What it opens and allocates goes with it. */
struct visit {
	int pidfd; /* -1: ours */
	int sock;  /* to the other side */
	int fds;   /* its /proc/self/fd: over there may be another /proc, or none */
	struct {
		struct place *v;
		size_t n, room;
	} places;
};

static bool is_shielded(const struct hp_listener *l)
{
	return l->file.ino;
}

static int mount_id(int fd, uint64_t *ret)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &st))
		return -errno;
	*ret = st.stx_mnt_id;
	return 0;
}

static int open_path(const struct hp_listener *l, pid_t pid)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&l->addr;
	char path[sizeof(un->sun_path) + 1] = "";
	hp_autoclose int fd = -1;
	struct hp_file_id id;
	int r;

	memcpy(path, un->sun_path, sizeof(un->sun_path));
	fd = hp_path_open(pid, AT_FDCWD, path);
	r = fd < 0 ? fd : hp_file_id_read(fd, &id);
	if (r == 0 && !hp_file_id_same(&id, &l->file))
		r = -ESTALE;
	return r < 0 ? r : HP_TAKE_FD(fd);
}

/* Paths are as @pid sees them, and descriptors of them good in its namespace. */
static int open_paths(struct visit *v, const struct hp_listeners *l, pid_t pid)
{
	for (size_t i = 0; i < l->n; i++) {
		struct place *p;

		if (!is_shielded(&l->v[i]))
			continue;
		p = HP_ARRAY_ADD(&v->places);
		if (!p)
			return -ENOMEM;
		*p = (struct place){&l->v[i], open_path(&l->v[i], pid), -1};
	}
	return v->pidfd >= 0 && setns(v->pidfd, CLONE_NEWNS) ? -errno : 0;
}

static int unmount(const struct visit *v, int fd)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%d", fd);
	return fchdir(v->fds) || umount2(name, MNT_DETACH) ? -errno : 0;
}

/* Nowhere yet, but with its number, which is told. */
static int make(const struct visit *v, struct place *p)
{
	uint64_t id;
	int r;

	if (p->at < 0)
		return p->at;
	p->tree = open_tree(p->at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (p->tree < 0)
		return -errno;
	r = mount_id(p->tree, &id);
	return r == 0 ? hp_send_fds(v->sock, &id, sizeof(id), NULL, 0) : r;
}

static int mount_all(const struct visit *v)
{
	const struct place *p = v->places.v;

	for (size_t i = 0; i < v->places.n; i++) {
		int r;

		if (move_mount(p[i].tree, "", p[i].at, "",
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
			continue;
		r = -errno;
		while (i-- > 0)
			(void)unmount(v, p[i].tree); /* or somebody else has */
		return r;
	}
	return 0;
}

static int raise_all(struct visit *v, const struct hp_listeners *l, pid_t pid)
{
	int r = open_paths(v, l, pid);
	size_t none = 0;
	char go;

	for (size_t i = 0; r == 0 && i < v->places.n; i++)
		r = make(v, &v->places.v[i]);
	if (r == 0)
		r = hp_recv_fds(v->sock, &go, sizeof(go), NULL, &none);
	return r == 0 ? mount_all(v) : r;
}

static int lower_all(struct visit *v, const struct hp_listeners *l, pid_t pid)
{
	int r = open_paths(v, l, pid);

	for (size_t i = 0; r == 0 && i < v->places.n; i++) {
		const struct place *p = &v->places.v[i];
		uint64_t id;

		if (p->at >= 0 && mount_id(p->at, &id) == 0 && id == p->of->shield)
			(void)unmount(v, p->at); /* then it is gone with its directory */
	}
	return r;
}

/* The visitor, who ends with the errno; or its pid. */
static pid_t begin(struct visit *v, const struct hp_listeners *l, pid_t pid,
		   int (*fn)(struct visit *v, const struct hp_listeners *l, pid_t pid))
{
	int sv[2], r = hp_socketpair(sv);
	pid_t child;

	if (r < 0)
		return r;
	child = fork();
	if (child == 0) {
		close(sv[0]);
		v->sock = sv[1];
		v->fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
		_exit(v->fds < 0 ? errno : -fn(v, l, pid));
	}
	r = child < 0 ? -errno : child;
	close(sv[1]);
	v->sock = sv[0];
	return r;
}

static int end(struct visit *v, pid_t child)
{
	int status;

	hp_close(&v->sock);
	if (child < 0)
		return child;
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int hear_ids(const struct visit *v, struct hp_listeners *l)
{
	int r = 0;

	for (size_t i = 0, none = 0; r == 0 && i < l->n; i++)
		if (is_shielded(&l->v[i]))
			r = hp_recv_fds(v->sock, &l->v[i].shield, sizeof(l->v[i].shield), NULL, &none);
	return r;
}

static bool any(const struct hp_listeners *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (is_shielded(&l->v[i]))
			return true;
	return false;
}

static int raise_in(struct hp_listeners *l, pid_t pid, void (*known)(void *arg), void *arg)
{
	hp_autoclose int pidfd = pidfd_open(pid, 0);
	struct visit v = {.pidfd = pidfd, .sock = -1};
	pid_t child;

	if (pidfd < 0)
		return -errno;
	child = begin(&v, l, pid, raise_all);
	if (child > 0 && hear_ids(&v, l) == 0) {
		known(arg);
		(void)hp_send_fds(v.sock, "", 1, NULL, 0); /* or it says why not */
	}
	return end(&v, child);
}

int hp_shield_raise(struct hp_listeners *l, pid_t pid, void (*known)(void *arg), void *arg,
		    struct hp_err *err)
{
	int r = any(l) ? raise_in(l, pid, known, arg) : 0;

	if (r < 0)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d may remove its unix socket when it ends, and hp cannot "
				  "keep it from that by a mount: %s",
				  (int)pid, strerror(-r));
	return 0;
}

void hp_shield_lower(const struct hp_listeners *l, pid_t pid)
{
	hp_autoclose int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
	struct visit v = {.pidfd = pidfd, .sock = -1};

	if (any(l)) /* else, or where no process can be had, it stays so */
		(void)end(&v, begin(&v, l, pidfd < 0 ? getpid() : pid, lower_all));
}
