/* SPDX-License-Identifier: MIT */
/* Whoever can write a directory puts what he likes under any name in it.  What was looked at once stays so,
 * for only root could change it since. */
#include "trust/path.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hp/err.h"

#define LINKS_MAX 40 /* as path_resolution(7) */

struct way {
	const char *root;    /* "": ours */
	char done[PATH_MAX]; /* below it, without links; "": the root itself */
	char rest[PATH_MAX];
	struct stat at; /* of done */
	unsigned links;
};

static int too_long(const char *path, struct hp_err *err)
{
	return hp_err_sys(err, ENAMETOOLONG, "%.100s", path);
}

/* In *full what is @path below the root, for the kernel. */
static int from_root(const struct way *w, const char *path, char full[PATH_MAX], struct hp_err *err)
{
	return snprintf(full, PATH_MAX, "%s%s", w->root, path) < PATH_MAX ? 0 : too_long(path, err);
}

static int look(const struct way *w, const char *path, struct stat *ret, struct hp_err *err)
{
	char full[PATH_MAX];
	int r = from_root(w, path, full, err);

	if (r < 0 || lstat(full, ret) == 0)
		return r;
	return errno == ENOENT ? -ENOENT : hp_err_sys(err, errno, "stat %s", path);
}

/* Who else could have put @entry (NULL: nothing so far) into the directory where @w is? */
static int check_directory(const struct way *w, const struct stat *entry, struct hp_err *err)
{
	const char *name = w->done[0] ? w->done : "/";
	bool stays = entry && w->at.st_mode & S_ISVTX && S_ISDIR(entry->st_mode) && entry->st_uid == 0;

	if (w->at.st_uid != 0)
		return hp_err_set(err, -HP_E_DENIED,
				  "the directory %s belongs to uid %u, who can put another file there: "
				  "it must be root's",
				  name, w->at.st_uid);
	if (w->at.st_mode & (S_IWGRP | S_IWOTH) && !stays)
		return hp_err_set(err, -HP_E_DENIED,
				  "others than root can put another file into the directory %s: name "
				  "one in a directory that root alone can write",
				  name);
	return 0;
}

/* Goes on where the link @next leads, from its directory. */
static int follow(struct way *w, const char *next, struct hp_err *err)
{
	char target[PATH_MAX], rest[PATH_MAX];
	int r = from_root(w, next, rest, err);
	ssize_t n = r < 0 ? 0 : readlink(rest, target, sizeof(target) - 1);

	if (r < 0)
		return r;
	if (n < 0)
		return hp_err_sys(err, errno, "readlink %s", next);
	if (++w->links > LINKS_MAX)
		return hp_err_sys(err, ELOOP, "%s", next);
	target[n] = '\0';
	if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= sizeof(rest))
		return too_long(next, err);
	memcpy(w->rest, rest, sizeof(rest));
	if (target[0] != '/')
		return 0;
	w->done[0] = '\0';
	return look(w, "/", &w->at, err);
}

/* One name further. */
static int step(struct way *w, struct hp_err *err)
{
	const char *name = w->rest + strspn(w->rest, "/"), *behind = name + strcspn(name, "/");
	char next[PATH_MAX];
	struct stat st;
	bool missing;
	int k;

	if ((size_t)snprintf(next, sizeof(next), "%s/%.*s", w->done, (int)(behind - name), name) >=
	    sizeof(next))
		return too_long(name, err);
	k = look(w, next, &st, err);
	if (k < 0 && k != -ENOENT)
		return k;
	missing = k < 0;
	k = check_directory(w, missing ? NULL : &st, err);
	if (k < 0 || missing)
		return k < 0 ? k : -ENOENT;
	memmove(w->rest, behind, strlen(behind) + 1);
	if (S_ISLNK(st.st_mode))
		return follow(w, next, err);
	memcpy(w->done, next, sizeof(next));
	w->at = st;
	return 0;
}

/* As far as root alone decides. */
static int walk(struct way *w, const char *path, struct hp_err *err)
{
	int k = look(w, "/", &w->at, err);

	if (k == 0 && (size_t)snprintf(w->rest, sizeof(w->rest), "%s", path) >= sizeof(w->rest))
		return too_long(path, err);
	while (k == 0 && w->rest[strspn(w->rest, "/")])
		k = step(w, err);
	return k;
}

int hp_root_path(const char *path, struct stat *ret, struct hp_err *err)
{
	struct way w = {.root = ""};
	int k = walk(&w, path, err);

	if (k == 0)
		*ret = w.at;
	return k;
}

int hp_root_path_links(const char *root, const char *path, char *ret, size_t n)
{
	struct way w = {.root = root};
	int k = walk(&w, path, NULL);

	if (k < 0 && k != -ENOENT && k != -HP_E_DENIED)
		return k;
	return (size_t)snprintf(ret, n, "%s/%s", w.done, w.rest) < n ? 0 : -ENAMETOOLONG;
}
