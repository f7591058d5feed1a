/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access.h"
#include "base/fd.h"
#include "hp/err.h"
#include "target/procfs.h"
#include "target/target.h"

#define PROC_MAX      (64u << 10)
#define MOUNTINFO_MAX (4u << 20)

static bool same_namespace(pid_t pid, const char *kind)
{
	struct stat theirs, ours;
	char path[64], own[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	snprintf(own, sizeof(own), "/proc/self/ns/%s", kind);
	return stat(path, &theirs) == 0 && stat(own, &ours) == 0 && theirs.st_ino == ours.st_ino;
}

/* proc_pid_status(5): real, effective, saved, file system.  (unsigned)-1: they differ. */
static bool read_id(pid_t pid, const char *key, unsigned *ret)
{
	unsigned real, effective, saved, fs;
	char text[64];

	if (!hp_status_text(pid, key, text, sizeof(text)) ||
	    sscanf(text, "%u %u %u %u", &real, &effective, &saved, &fs) != 4)
		return false;
	*ret = real == effective && effective == saved && saved == fs ? real : (unsigned)-1;
	return true;
}

/* In a user namespace of its own they say nothing here. */
static bool has_capabilities(pid_t pid)
{
	uint64_t held;

	return same_namespace(pid, "user") &&
	       (!hp_status_number(pid, "CapPrm", 16, &held) || held);
}

/* A program that is set-user-id or set-group-id, or has capabilities, is nobody's own: ptrace(2) would not
 * let its user in either. */
int hp_access_uid(pid_t pid, uid_t *ret, struct hp_err *err)
{
	unsigned uid, gid;

	if (!read_id(pid, "Uid", &uid) || !read_id(pid, "Gid", &gid))
		return hp_err_set(err, -HP_E_GONE, "there is no process %d", pid);
	*ret = gid == (unsigned)-1 || (uid && has_capabilities(pid)) ? (uid_t)-1 : uid;
	return 0;
}

/* Nobody may ptrace(2) a process of his that keeps its memory to itself (PR_SET_DUMPABLE), as one
 * does that gave up other rights, and may have kept what it opened with them.  Its files in /proc are
 * root's then; its directory there is not. */
static bool is_shown(pid_t pid, uid_t uid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	return stat(path, &st) == 0 && st.st_uid == uid;
}

bool hp_access_owns(uid_t uid, pid_t pid)
{
	uid_t of;

	return hp_access_uid(pid, &of, NULL) == 0 && of == uid && is_shown(pid, uid);
}

static bool was_removed(const char *name)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(name);

	return n >= strlen(deleted) && !strcmp(name + n - strlen(deleted), deleted);
}

/* In a namespace of his own a user may mount any file at any path; who executes it by a descriptor need
 * not live there, and it has that name everywhere. */
static bool is_mounted_here(int fd)
{
	char *text, *line, *rest;
	struct statx st;
	bool found = false;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) ||
	    hp_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line && !found; line = strtok_r(NULL, "\n", &rest))
		found = strtoull(line, NULL, 10) == st.stx_mnt_id;
	free(text);
	return found;
}

/* Of one and the same program, whatever the process executes meanwhile. */
static int read_exe(const struct hp_target *t, struct hp_access_facts *f, struct hp_err *err)
{
	hp_autoclose int fd = -1;
	char path[64], self[64];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", t->pid);
	fd = open(path, O_PATH | O_CLOEXEC);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(self, f->exe, sizeof(f->exe) - 1);
	if (n < 0 || fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "read %s", path);
	f->exe[n] = '\0';
	f->t.exe = f->exe;
	f->t.exe_dev = st.st_dev;
	f->t.exe_ino = st.st_ino;
	f->t.exe_roots = was_removed(f->exe) && st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
			 same_namespace(t->pid, "mnt") && is_mounted_here(fd);
	return 0;
}

static bool names_unit(const char *part, size_t n)
{
	static const char *const suffixes[] = {".service", ".scope"};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t m = strlen(suffixes[i]);

		if (n > m && !strncmp(part + n - m, suffixes[i], m))
			return true;
	}
	return false;
}

/* The first part that is a unit's name is of the system manager's giving; what lies below may have been
 * delegated, and be a user's own (cgroups(7), systemd.resource-control(5): Delegate=).  Before a name that
 * a file of the kernel's could have, as cpu.service, systemd writes "_" (cg_escape()). */
void hp_access_unit(const char *cgroups, char ret[HP_ACCESS_UNIT])
{
	const char *line = !strncmp(cgroups, "0::", 3) ? cgroups : strstr(cgroups, "\n0::");
	const char *p = line ? strchr(line, ':') + 2 : "";

	ret[0] = '\0';
	while (*p == '/') {
		size_t n = strcspn(++p, "/\n");

		if (names_unit(p, n)) {
			n -= *p == '_';
			p += *p == '_';
			snprintf(ret, HP_ACCESS_UNIT, "%.*s", (int)n, p);
			return;
		}
		p += n;
	}
}

static int read_unit(const struct hp_target *t, struct hp_access_facts *f, struct hp_err *err)
{
	char path[64], *text;
	int k;

	f->t.unit = f->unit;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", t->pid);
	k = hp_read_file(AT_FDCWD, path, PROC_MAX, &text, NULL);
	if (k < 0)
		return hp_err_sys(err, -k, "read %s", path);
	hp_access_unit(text, f->unit);
	free(text);
	return 0;
}

int hp_access_facts(const struct hp_target *t, struct hp_access_facts *ret, struct hp_err *err)
{
	int k;

	*ret = (struct hp_access_facts){.unit = ""};
	if ((k = hp_access_uid(t->pid, &ret->t.uid, err)) < 0 || (k = read_exe(t, ret, err)) < 0)
		return k;
	ret->t.is_shown = is_shown(t->pid, ret->t.uid);
	return read_unit(t, ret, err);
}
