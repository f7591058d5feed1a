/* SPDX-License-Identifier: MIT */
#include "daemon/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "target/procfs.h"

#define CLAIMS_DIR "/run/hp"
#define CLAIMS	   CLAIMS_DIR "/claims"

/* linux/magic.h since Linux 6.9; before, all pidfds of a machine were one inode. */
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

#define LOCKS_MAX (16u << 20)

static struct flock byte_of(pid_t pid, short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};
}

int hp_claims_open(void)
{
	int fd;

	if (mkdir(CLAIMS_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(CLAIMS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* --- the lock of the process ----------------------------------------------------------------------- */

/* -1: it has exited, or the kernel does not tell its pidfd from another's. */
static int open_process(pid_t pid)
{
	hp_autoclose int fd = pidfd_open(pid, 0);
	struct statfs fs;

	return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == PID_FS_MAGIC ? HP_TAKE_FD(fd) : -1;
}

/* A lock that its taker has not let go of by dying is held by a fork that has not run since: by a job
 * of a killed hpd's, which does nothing any more. */
static bool is_hpd(pid_t holder)
{
	char ids[64];
	unsigned effective = 0;
	struct hp_stat st;

	if (hp_stat_read(holder, &st) < 0 || st.state == 'Z' || st.state == 'X')
		return false;
	return !hp_status_text(holder, "Uid", ids, sizeof(ids)) || /* it has ended just now, or is root's */
	       (sscanf(ids, "%*u %u", &effective) == 1 && effective == 0);
}

static void read_locks(struct hp_locks *l)
{
	char *text, *line, *rest;

	l->read = true;
	if (hp_read_file(-1, "/proc/locks", LOCKS_MAX, &text, NULL) < 0)
		return;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		unsigned major, minor;
		unsigned long ino;
		struct hp_lock *lock;
		char kind[8];
		int pid;

		if (sscanf(line, "%*s %7s %*s %*s %d %x:%x:%lu", kind, &pid, &major, &minor, &ino) != 5 ||
		    strcmp(kind, "FLOCK") || !(lock = HP_ARRAY_ADD(l)))
			continue;
		*lock = (struct hp_lock){makedev(major, minor), ino, pid};
	}
	free(text);
}

void hp_locks_free(struct hp_locks *l)
{
	HP_ARRAY_FREE(l);
	l->read = false;
}

/* Who has locked what @fd is: 0 nobody, or one outside our pid namespace (proc(5), /proc/locks). */
static pid_t holder_of(int fd, struct hp_locks *l)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	if (!l->read)
		read_locks(l);
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ino == st.st_ino && l->v[i].dev == st.st_dev && l->v[i].holder)
			return l->v[i].holder;
	return 0;
}

static bool take_process(pid_t pid, int *held, struct hp_locks *locks)
{
	hp_autoclose int fd = -1;
	pid_t holder;

	if (*held >= 0 || (fd = open_process(pid)) < 0)
		return true;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*held = HP_TAKE_FD(fd);
		return true;
	}
	holder = holder_of(fd, locks);
	return holder && !is_hpd(holder);
}

/* Not tried: another hpd could just then find it locked. */
static bool is_foreign_process(pid_t pid, struct hp_locks *locks)
{
	hp_autoclose int fd = open_process(pid);
	pid_t holder = fd < 0 ? 0 : holder_of(fd, locks);

	return holder && holder != getpid() && is_hpd(holder);
}

/* --- both --------------------------------------------------------------------------------------------- */

bool hp_claim_take(int claims, pid_t pid, int *held, struct hp_locks *locks)
{
	struct flock l = byte_of(pid, F_WRLCK);

	if (fcntl(claims, F_SETLK, &l) < 0)
		return false;
	if (take_process(pid, held, locks))
		return true;
	hp_claim_give(claims, pid, held);
	return false;
}

void hp_claim_give(int claims, pid_t pid, int *held)
{
	struct flock l = byte_of(pid, F_UNLCK);

	(void)fcntl(claims, F_SETLK, &l); /* of a lock that we hold: cannot fail */
	hp_close(held);
}

bool hp_claim_is_foreign(int claims, pid_t pid, struct hp_locks *locks)
{
	struct flock l = byte_of(pid, F_WRLCK);

	return (fcntl(claims, F_GETLK, &l) == 0 && l.l_type != F_UNLCK) || is_foreign_process(pid, locks);
}
