/* SPDX-License-Identifier: MIT */
#include "access/patch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "access/access.h"
#include "access/open_as.h"
#include "base/fd.h"
#include "hp/err.h"

static int no_file(struct hp_err *err, const char *path, int errnum)
{
	return hp_err_set(err, -HP_E_NO_FILE, "open %s: %s", path, strerror(errnum));
}

static int check(int fd, const char *path, struct hp_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "stat %s", path);
	if (S_ISDIR(st.st_mode))
		return no_file(err, path, EISDIR);
	if (!S_ISREG(st.st_mode))
		return hp_err_set(err, -HP_E_NO_FILE, "open %s: not a regular file", path);
	return 0;
}

int hp_patch_file_open(const struct hp_peer *peer, const char *path, int *ret, struct hp_err *err)
{
	hp_autoclose int fd = hp_access_open_file(peer, path, err);
	int k;

	if (fd < 0)
		return fd;
	k = check(fd, path, err);
	if (k == 0)
		*ret = HP_TAKE_FD(fd);
	return k;
}

/* --- as a process would -------------------------------------------------------------------------- */

struct owner {
	uid_t uid;
	gid_t gid[HP_PEER_GIDS];
	size_t n_gids;
};

/* The number in column @column of a line of /proc/PID/status. */
static bool status_number(const char *status, const char *line, unsigned column, unsigned *ret)
{
	const char *p = strstr(status, line);

	if (!p)
		return false;
	p += strlen(line);
	for (unsigned i = 0;; i++) {
		char *end;

		p += strspn(p, " \t");
		*ret = (unsigned)strtoul(p, &end, 10);
		if (end == p)
			return false;
		if (i == column)
			return true;
		p = end;
	}
}

/* Real, effective, saved, and the one for files. */
static bool are_all(const char *status, const char *line, unsigned id)
{
	unsigned one;

	for (unsigned column = 0; column < 4; column++)
		if (!status_number(status, line, column, &one) || one != id)
			return false;
	return true;
}

/* All of it is read at once: what the process executes meanwhile may be a set-user-id program. */
static int read_owner(pid_t pid, uid_t of, struct owner *o, struct hp_err *err)
{
	char path[64], *status;
	unsigned group;
	bool good, alone;
	int k;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	k = hp_read_file(-1, path, 1 << 20, &status, NULL);
	if (k < 0)
		return hp_err_set(err, -HP_E_GONE, "process %d: no such process", pid);
	good = status_number(status, "\nUid:", 3, &o->uid) &&
	       status_number(status, "\nGid:", 3, &o->gid[0]);
	for (o->n_gids = 1; o->n_gids < HP_PEER_GIDS; o->n_gids++) {
		if (!status_number(status, "\nGroups:", (unsigned)o->n_gids - 1, &group))
			break;
		o->gid[o->n_gids] = group;
	}
	alone = good && (!of || (are_all(status, "\nUid:", of) &&
				 are_all(status, "\nGid:", o->gid[0])));
	free(status);
	if (!good)
		return hp_err_set(err, -HP_E_FAILED, "%s does not tell whose it is", path);
	if (!alone)
		return hp_err_set(err, -HP_E_DENIED,
				  "process %d does not run with the rights of uid %u alone any more", pid,
				  of);
	return 0;
}

static bool same_place(const char *a, const char *b)
{
	struct stat one, two;

	return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev &&
	       one.st_ino == two.st_ino;
}

/* Whether a path means to @pid what it means to us. */
static bool same_root(pid_t pid)
{
	char root[64], mnt[64];

	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	snprintf(mnt, sizeof(mnt), "/proc/%d/ns/mnt", pid);
	return same_place(root, "/") && same_place(mnt, "/proc/self/ns/mnt");
}

int hp_patch_file_open_as(pid_t pid, uid_t of, const char *path, int *ret, struct hp_err *err)
{
	hp_autoclose int fd = -1, dir = -1;
	bool absolute = *path == '/';
	uint64_t resolve = RESOLVE_NO_MAGICLINKS;
	struct hp_rights r;
	struct owner o;
	char from[64];
	int k = read_owner(pid, of, &o, err);

	if (k < 0)
		return k;
	r = (struct hp_rights){o.uid, o.gid, o.n_gids};
	if (!same_root(pid))
		resolve |= absolute ? RESOLVE_IN_ROOT : RESOLVE_BENEATH;
	snprintf(from, sizeof(from), "/proc/%d/%s", pid, absolute ? "root" : "cwd");
	dir = open(from, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return hp_err_sys(err, errno, "%s", from);
	fd = hp_open_as(&r, dir, path, resolve);
	if (fd < 0)
		return no_file(err, path, -fd);
	k = check(fd, path, err);
	if (k == 0)
		*ret = HP_TAKE_FD(fd);
	return k;
}
