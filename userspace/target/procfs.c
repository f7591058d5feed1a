/* SPDX-License-Identifier: MIT */
#include "target/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"

#define FILE_MAX (64u << 10)

void hp_pids_free(struct hp_pids *pids)
{
	HP_ARRAY_FREE(pids);
}

int hp_procfs_list(const char *folder, struct hp_pids *ret)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	int r = d ? 0 : -errno;

	while (r == 0 && (e = readdir(d))) {
		pid_t *v;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		v = HP_ARRAY_ADD(ret);
		if (v)
			*v = (pid_t)strtol(e->d_name, NULL, 10);
		else
			r = -ENOMEM;
	}
	if (d)
		closedir(d);
	return r;
}

static int read_proc(pid_t pid, const char *name, char **ret)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	r = hp_read_file(AT_FDCWD, path, FILE_MAX, ret, NULL);
	return r == -ENOENT ? -ESRCH : r;
}

int hp_stat_read(pid_t pid, struct hp_stat *ret)
{
	char *text, *open, *close, *p;
	int r = read_proc(pid, "stat", &text);

	if (r < 0)
		return r;
	/* The name may hold spaces and parentheses: it ends at the last one. */
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open || strlen(close) < 4) {
		free(text);
		return -EBADMSG;
	}
	memset(ret, 0, sizeof(*ret));
	*close = 0;
	(void)snprintf(ret->comm, sizeof(ret->comm), "%s", open + 1);
	ret->state = close[2];
	p = close + 3;
	for (int i = HP_STAT_PPID; i < HP_STAT_FIELDS; i++)
		ret->field[i] = strtoull(p, &p, 10);
	free(text);
	return 0;
}

bool hp_status_text(pid_t pid, const char *key, char *buf, size_t n)
{
	size_t len = strlen(key);
	char *text, *line;

	if (read_proc(pid, "status", &text) < 0)
		return false;
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ':')
			break;
	}
	if (line) {
		line += len + 1;
		line += strspn(line, " \t");
		(void)snprintf(buf, n, "%.*s", (int)strcspn(line, "\n"), line);
	}
	free(text);
	return line != NULL;
}

bool hp_status_number(pid_t pid, const char *key, int base, uint64_t *ret)
{
	char value[64];

	if (!hp_status_text(pid, key, value, sizeof(value)))
		return false;
	*ret = strtoull(value, NULL, base);
	return true;
}

static char *limit_value(char *p, uint64_t *ret)
{
	char *end;

	p += strspn(p, " ");
	*ret = strtoull(p, &end, 10);
	if (end == p) { /* "unlimited" */
		*ret = UINT64_MAX;
		end += strcspn(end, " ");
	}
	return end;
}

bool hp_limit_read(pid_t pid, const char *name, uint64_t *soft, uint64_t *hard)
{
	char *text, *line;

	if (read_proc(pid, "limits", &text) < 0)
		return false;
	line = strstr(text, name);
	if (line)
		(void)limit_value(limit_value(line + strlen(name), soft), hard);
	free(text);
	return line != NULL;
}
