/* SPDX-License-Identifier: MIT */
/*
 * What is read here may be untrue a moment later: whoever works on a process finds out by itself
 * that it is gone.
 */
#include "target/processes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "elf/image.h"
#include "hp/err.h"
#include "target/mapped.h"
#include "target/procfs.h"

#define DELETED " (deleted)"

static int no_memory(struct hp_err *err)
{
	return hp_err_set(err, -ENOMEM, "no memory for a list of processes");
}

static int add(struct hp_pids *to, pid_t pid)
{
	pid_t *v = HP_ARRAY_ADD(to);

	if (!v)
		return -ENOMEM;
	*v = pid;
	return 0;
}

static int list(struct hp_pids *ret, struct hp_err *err)
{
	int r = hp_procfs_list("/proc", ret);

	return r < 0 ? hp_err_sys(err, -r, "who is in /proc") : 0;
}

/* A process whose first thread has ended shows that one's state while others go on. */
static bool has_ended(const struct hp_stat *s)
{
	return (s->state == 'Z' || s->state == 'X') && s->field[HP_STAT_THREADS] <= 1;
}

int hp_processes_all(struct hp_pids *ret, struct hp_err *err)
{
	struct hp_pids all = {0};
	struct hp_stat s;
	size_t n = 0;
	int r = list(&all, err);

	if (r < 0) {
		HP_ARRAY_FREE(&all);
		return r;
	}
	for (size_t i = 0; i < all.n; i++)
		if (hp_stat_read(all.v[i], &s) == 0 && !has_ended(&s))
			all.v[n++] = all.v[i];
	all.n = n;
	*ret = all;
	return 0;
}

/* --- descendants ----------------------------------------------------------------------------- */

struct born {
	pid_t parent, pid;
};

static int by_parent(const void *a, const void *b)
{
	const struct born *x = a, *y = b;

	return x->parent != y->parent ? x->parent - y->parent : x->pid - y->pid;
}

/* The first child of @parent, or where it would be. */
static size_t first_child(const struct born *v, size_t n, pid_t parent)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid].parent < parent)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Every process has one parent, so that none comes twice but a root that is another's descendant:
 * its own @parent is cut. */
static int descend(struct hp_pids *family, const struct born *v, size_t n)
{
	for (size_t i = 0; i < family->n; i++) {
		pid_t parent = family->v[i];

		for (size_t k = first_child(v, n, parent); k < n && v[k].parent == parent; k++)
			if (add(family, v[k].pid) < 0)
				return -ENOMEM;
	}
	return 0;
}

static bool is_one_of(const pid_t *v, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == pid)
			return true;
	return false;
}

int hp_processes_family(const pid_t *roots, size_t n_roots, struct hp_pids *ret,
			struct hp_err *err)
{
	struct hp_pids all = {0}, family = {0};
	struct born *v = NULL;
	size_t n = 0;
	int r = list(&all, err);

	if (r == 0 && !(v = calloc(all.n + 1, sizeof(*v))))
		r = no_memory(err);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		struct hp_stat s;

		if (is_one_of(roots, n_roots, all.v[i]) || hp_stat_read(all.v[i], &s) < 0 ||
		    has_ended(&s))
			continue;
		v[n++] = (struct born){(pid_t)s.field[HP_STAT_PPID], all.v[i]};
	}
	if (r == 0) {
		qsort(v, n, sizeof(*v), by_parent);
		for (size_t i = 0; i < n_roots && r == 0; i++)
			if (!is_one_of(roots, i, roots[i]))
				r = add(&family, roots[i]);
		if (r < 0 || descend(&family, v, n) < 0)
			r = no_memory(err);
	}
	free(v);
	HP_ARRAY_FREE(&all);
	if (r < 0)
		HP_ARRAY_FREE(&family);
	else
		*ret = family;
	return r;
}

/* --- by what they run -------------------------------------------------------------------------- */

struct wanted {
	const char *path;    /* an executable … */
	bool there;	     /* … that exists: dev, ino */
	dev_t dev;
	ino_t ino;
	const char *build_id; /* or a file that is mapped */
	HP_ARRAY(struct seen { struct hp_mapped_id id; bool is; }) seen;
};

static bool runs(struct wanted *w, pid_t pid)
{
	char path[64], name[4096 + sizeof(DELETED)];
	size_t len = strlen(w->path);
	struct stat st;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (stat(path, &st) < 0)
		return false;
	if (w->there && st.st_dev == w->dev && st.st_ino == w->ino)
		return true;
	/* The kernel keeps the name that a file had when it was opened. */
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = 0;
	return !strncmp(name, w->path, len) && !strcmp(name + len, DELETED);
}

/* Whether the file @fd, which is taken over, has it.  Negative: it could not be read. */
static int file_has_it(const struct wanted *w, int fd)
{
	char have[2 * HP_BUILD_ID_MAX + 1];
	struct hp_image *im;
	int r = hp_image_open(&im, fd, "a mapped file", NULL);

	if (r < 0)
		return r == -HP_E_BAD_ELF ? 0 : r;
	r = !strcmp(hp_image_build_id_hex(im, have), w->build_id);
	hp_image_free(im);
	return r;
}

static const struct seen *seen_as(const struct wanted *w, const struct hp_mapped_id *id)
{
	for (size_t i = 0; i < w->seen.n; i++)
		if (hp_mapped_same(&w->seen.v[i].id, id))
			return &w->seen.v[i];
	return NULL;
}

/* Only what was read is kept: a process that has ended meanwhile says nothing about the file, which
 * others have mapped. */
static int look_into(struct wanted *w, pid_t pid, const struct hp_map *m)
{
	int fd = hp_mapped_open(pid, m), is;
	struct hp_mapped_id id;
	struct seen *s;

	if (fd < 0)
		return 0;
	if (hp_mapped_id_of_fd(fd, &id) < 0) {
		close(fd);
		return 0;
	}
	is = file_has_it(w, fd);
	if (is < 0)
		return 0;
	s = HP_ARRAY_ADD(&w->seen);
	if (!s)
		return -ENOMEM;
	*s = (struct seen){id, is};
	return is;
}

/* Libraries are the same files in every process: each is opened once. */
static int maps_it(struct wanted *w, pid_t pid)
{
	struct hp_maps maps = {0};
	int is = 0;

	if (hp_maps_read(&maps, pid, NULL) < 0)
		return 0;
	for (size_t i = 0; i < maps.n && is == 0; i++) {
		const struct hp_map *m = &maps.v[i];
		struct hp_mapped_id id;
		const struct seen *s;

		if (!(m->prot & PROT_EXEC) || !m->ino || hp_mapped_id(pid, m, &id) < 0)
			continue;
		s = seen_as(w, &id);
		is = s ? s->is : look_into(w, pid, m);
	}
	hp_maps_free(&maps);
	return is;
}

static int pick(struct wanted *w, struct hp_pids *ret, struct hp_err *err)
{
	struct hp_pids all = {0};
	size_t n = 0;
	int r = hp_processes_all(&all, err);

	for (size_t i = 0; i < all.n && r >= 0; i++) {
		r = w->path ? runs(w, all.v[i]) : maps_it(w, all.v[i]);
		if (r > 0)
			all.v[n++] = all.v[i];
	}
	HP_ARRAY_FREE(&w->seen);
	if (r < 0) {
		HP_ARRAY_FREE(&all);
		return r == -ENOMEM ? no_memory(err) : r;
	}
	all.n = n;
	*ret = all;
	return 0;
}

int hp_processes_of_exe(const char *path, struct hp_pids *ret, struct hp_err *err)
{
	struct wanted w = {.path = path};
	struct stat st;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return hp_err_set(err, -HP_E_NO_FILE, "%s is no file that runs", path);
		w.there = true;
		w.dev = st.st_dev;
		w.ino = st.st_ino;
	}
	return pick(&w, ret, err);
}

int hp_processes_of_build_id(const char *hex, struct hp_pids *ret, struct hp_err *err)
{
	struct wanted w = {.build_id = hex};

	return pick(&w, ret, err);
}
