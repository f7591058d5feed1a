/* SPDX-License-Identifier: MIT */
/*
 * target/maps_read.c – the mappings are asked for one by one where the kernel answers that.  As text they
 * cost five times as much, most of it for the letters of paths; a process with a hundred patches has 1,500
 * mappings, which are read several times in an operation.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/kernel.h"
#include "hp/err.h"
#include "target/maps.h"

#define MAPS_MAX (256u << 20) /* bytes of text */
#define N_MAX	 (4u << 20)   /* mappings */

#define WIDER_TRIES 4 /* at whose end all is read */

/* --- one by one ------------------------------------------------------------------------------------ */

struct asked {
	struct hp_maps *m;
	HP_ARRAY(size_t) at; /* of the path of each in @text */
	struct hp_buf text;
	char name[PATH_MAX];
};

/* 0, or a negative errno: -ENOENT when there is no more. */
static int ask(int fd, hp_addr from, char *name, size_t room, struct hp_procmap_query *ret)
{
	*ret = (struct hp_procmap_query){.size = sizeof(*ret),
					 .flags = HP_PROCMAP_COVERING_OR_NEXT,
					 .addr = from,
					 .name_size = (uint32_t)room,
					 .name_addr = (uintptr_t)name};
	if (ioctl(fd, HP_PROCMAP_QUERY, ret) < 0)
		return -errno;
	return ret->vma_end > from && ret->vma_end > ret->vma_start ? 0 : -EBADMSG;
}

static int take(struct asked *a, const struct hp_procmap_query *q)
{
	struct hp_map *v = HP_ARRAY_ADD(a->m);
	size_t *at = HP_ARRAY_ADD(&a->at);

	if (!v || !at)
		return -ENOMEM;
	*v = (struct hp_map){
		.lo = q->vma_start,
		.hi = q->vma_end,
		.offset = q->vma_offset,
		.prot = (q->vma_flags & HP_PROCMAP_VMA_READABLE ? PROT_READ : 0) |
			(q->vma_flags & HP_PROCMAP_VMA_WRITABLE ? PROT_WRITE : 0) |
			(q->vma_flags & HP_PROCMAP_VMA_EXECUTABLE ? PROT_EXEC : 0),
		.shared = q->vma_flags & HP_PROCMAP_VMA_SHARED,
		.dev = makedev(q->dev_major, q->dev_minor),
		.ino = q->inode,
	};
	*at = a->text.n;
	return hp_buf_add(&a->text, q->name_size ? a->name : "", q->name_size ? q->name_size : 1);
}

/* -ENOENT: there is no more; 0: not in @r. */
static int ask_each(struct asked *a, int fd, struct hp_range r)
{
	hp_addr from = r.lo;

	while (a->m->n < N_MAX) {
		struct hp_procmap_query q;
		int k = ask(fd, from, a->name, sizeof(a->name), &q);

		if (k < 0)
			return k;
		if (q.vma_start >= r.hi)
			return 0;
		if ((k = take(a, &q)) < 0)
			return k;
		from = q.vma_end;
	}
	return -EFBIG;
}

/* The mappings that have a part in @r. */
static int ask_range(struct hp_maps *m, const char *path, struct hp_range range)
{
	hp_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct asked a = {.m = m};
	int r = fd < 0 ? -errno : ask_each(&a, fd, range);
	char **text = HP_ARRAY_ADD(&m->text);

	if (text)
		*text = a.text.v;
	else
		free(a.text.v);
	for (size_t i = 0; text && i < a.at.n; i++)
		m->v[i].path = a.text.v + a.at.v[i];
	HP_ARRAY_FREE(&a.at);
	return text ? r : -ENOMEM;
}

static int ask_all(struct hp_maps *m, const char *path)
{
	int r = ask_range(m, path, (struct hp_range){0, ~0ull});

	return r == -ENOENT && m->n ? 0 : r < 0 ? r : -EFBIG;
}

/* --- as text --------------------------------------------------------------------------------------- */

static int parse_line(char *line, struct hp_map *ret)
{
	char *p = line;
	unsigned major, minor;

	ret->lo = strtoull(p, &p, 16);
	if (*p++ != '-')
		return -EBADMSG;
	ret->hi = strtoull(p, &p, 16);
	if (*p++ != ' ' || strnlen(p, 5) < 5 || p[4] != ' ')
		return -EBADMSG;
	ret->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	ret->shared = p[3] == 's';
	ret->offset = strtoull(p + 5, &p, 16);
	major = (unsigned)strtoul(p, &p, 16);
	if (*p++ != ':')
		return -EBADMSG;
	minor = (unsigned)strtoul(p, &p, 16);
	ret->dev = makedev(major, minor);
	ret->ino = strtoull(p, &p, 10);
	ret->path = p + strspn(p, " ");
	return ret->hi > ret->lo ? 0 : -EBADMSG;
}

static int parse(struct hp_maps *m, char *line)
{
	while (*line) {
		char *end = strchr(line, '\n');
		struct hp_map *v;
		int r;

		if (!end)
			return -EBADMSG;
		*end = 0;
		v = HP_ARRAY_ADD(m);
		if (!v)
			return -ENOMEM;
		r = parse_line(line, v);
		if (r < 0)
			return r;
		line = end + 1;
	}
	return 0;
}

/* The leader's own file is empty when it exited while other threads live on. */
static int read_any_thread(pid_t pid, char **ret)
{
	char path[64];
	struct dirent *e;
	int r = -ESRCH;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		size_t n;

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/maps", (int)pid, e->d_name);
		if (e->d_name[0] == '.' || hp_read_file(AT_FDCWD, path, MAPS_MAX, ret, &n) < 0)
			continue;
		if (n > 0) {
			r = 0;
			break;
		}
		free(*ret);
		*ret = NULL;
	}
	if (d)
		closedir(d);
	return r;
}

static int read_text(struct hp_maps *m, pid_t pid, const char *path)
{
	char **text = HP_ARRAY_ADD(&m->text);
	size_t n = 0;
	int r;

	if (!text)
		return -ENOMEM;
	*text = NULL;
	r = hp_read_file(AT_FDCWD, path, MAPS_MAX, text, &n);
	if (r == 0 && n == 0) {
		free(*text);
		*text = NULL;
		r = read_any_thread(pid, text);
	}
	return r < 0 ? r : parse(m, *text);
}

/* --- both ------------------------------------------------------------------------------------------ */

int hp_maps_read(struct hp_maps *m, pid_t pid, struct hp_err *err)
{
	struct hp_maps fresh = {0};
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	r = ask_all(&fresh, path);
	/* An older kernel; or the leader has exited, and others live on. */
	if (r < 0) {
		hp_maps_free(&fresh);
		r = read_text(&fresh, pid, path);
	}
	if (r == -ENOENT || r == -ESRCH) {
		hp_maps_free(&fresh);
		return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)pid);
	}
	if (r < 0) {
		hp_maps_free(&fresh);
		return hp_err_sys(err, -r, "cannot read the memory map of process %d", (int)pid);
	}
	hp_maps_free(m);
	*m = fresh;
	return 0;
}

/* As @m has it and as it is now, the mappings in @r may reach out of it: 1 if so, and @r is as wide then. */
static int ask_part(const struct hp_maps *m, const char *path, struct hp_range *r, struct hp_maps *ret)
{
	struct hp_range was = hp_maps_widen(m, *r), is;
	int k = ask_range(ret, path, was);

	if (k < 0 && k != -ENOENT)
		return k;
	*r = is = hp_maps_widen(ret, was);
	return is.lo < was.lo || is.hi > was.hi;
}

int hp_maps_reread(struct hp_maps *m, pid_t pid, struct hp_range r, struct hp_err *err)
{
	struct hp_maps part = {0};
	char path[64];
	int k = 1;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	for (unsigned try = 0; try < WIDER_TRIES && k == 1; try++) {
		hp_maps_free(&part);
		k = ask_part(m, path, &r, &part);
	}
	if (k == 0)
		k = hp_maps_splice(m, r, &part);
	hp_maps_free(&part);
	if (k == 0)
		return 0;
	k = hp_maps_read(m, pid, err);
	return k < 0 ? k : 1;
}
