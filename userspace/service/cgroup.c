/* SPDX-License-Identifier: MIT */
#include "service/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"

#define CGROUP_MAX    (64u << 10)
#define MOUNTINFO_MAX (4u << 20)

int hp_cgroups_read(char **ret, pid_t pid, struct hp_err *err)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = hp_read_file(AT_FDCWD, path, CGROUP_MAX, ret, NULL);
	if (r == -ENOENT) { /* a kernel without */
		*ret = strdup("");
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? hp_err_sys(err, -r, "control groups of process %d", (int)pid) : 0;
}

/* "hierarchy:controllers:path": cgroups(7) */
struct group {
	char controllers[128], path[1024];
};

static bool parse(const char *line, struct group *ret)
{
	const char *controllers = strchr(line, ':');
	const char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return false;
	controllers++;
	(void)snprintf(ret->controllers, sizeof(ret->controllers), "%.*s",
		       (int)(path - controllers), controllers);
	path++;
	(void)snprintf(ret->path, sizeof(ret->path), "%.*s", (int)strcspn(path, "\n"), path);
	return true;
}

/* Is this mount, "… root point options … - type source superoptions", that hierarchy's?  One that
 * shows only a part of it is left aside. */
static bool is_mount_of(const char *line, const char *controllers, char *point, size_t n)
{
	const char *dash = strstr(line, " - ");
	char root[256], where[512], type[32], super[256], *name, *rest;

	if (!dash || sscanf(line, "%*s %*s %*s %255s %511s", root, where) != 2 ||
	    sscanf(dash, " - %31s %*s %255s", type, super) != 2 || strcmp(root, "/") != 0)
		return false;
	(void)snprintf(point, n, "%s", where);
	if (!*controllers)
		return !strcmp(type, "cgroup2");
	if (strcmp(type, "cgroup") != 0)
		return false;
	for (name = strtok_r(super, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		if (!strcmp(name, controllers) ||
		    (!strncmp(controllers, name, strlen(name)) && controllers[strlen(name)] == ','))
			return true;
	return false;
}

static int find_mount(const char *controllers, char *point, size_t n)
{
	char *text, *line, *rest;
	int r = hp_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (line = strtok_r(text, "\n", &rest); line && r; line = strtok_r(NULL, "\n", &rest))
		if (is_mount_of(line, controllers, point, n))
			r = 0;
	free(text);
	return r;
}

static int join(const struct group *g)
{
	char point[512], path[2048];
	int r = find_mount(g->controllers, point, sizeof(point));
	hp_autoclose int fd = -1;

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s%s/cgroup.procs", point, g->path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : hp_write_all(fd, "0", 1);
}

/* Is the line one of @text, whole? */
static bool has_line(const char *text, const char *line, size_t n)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (strcspn(text, "\n") == n && !strncmp(text, line, n))
			return true;
	return false;
}

int hp_cgroups_join(const char *text)
{
	char *ours = NULL;
	int r = hp_cgroups_read(&ours, getpid(), NULL);

	for (const char *line = text; r == 0 && *line;) {
		size_t n = strcspn(line, "\n");
		struct group g;

		if (!has_line(ours, line, n) && parse(line, &g))
			r = join(&g);
		line += n + (line[n] == '\n');
	}
	free(ours);
	return r;
}

const char *hp_cgroups_unit(const char *text, char *buf, size_t n)
{
	buf[0] = 0;
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		struct group g;
		char *part, *rest;

		/* systemd's own hierarchy, or the unified one. */
		if (parse(line, &g) && (!*g.controllers || !strcmp(g.controllers, "name=systemd")))
			for (part = strtok_r(g.path, "/", &rest); part;
			     part = strtok_r(NULL, "/", &rest)) {
				size_t k = strlen(part);

				if (k > 8 && !strcmp(part + k - 8, ".service"))
					(void)snprintf(buf, n, "%s", part);
			}
		line += len + (line[len] == '\n');
	}
	return buf;
}
