/* SPDX-License-Identifier: MIT */
/* trust/path.h – paths that mean what root wants them to mean. */
#ifndef HP_TRUST_PATH_H
#define HP_TRUST_PATH_H

#include <stddef.h>
#include <sys/stat.h>

struct hp_err;

/* What the absolute @path leads to, when nobody but root can make it lead elsewhere: each directory on the
 * way, and on that of every symbolic link, is root's and can be written by nobody else.  Where the sticky
 * bit is set root's own directories cannot be replaced, and are good.  -HP_E_DENIED names the directory
 * that is not so; -ENOENT, without a sentence: there is no such file, and only root can make one. */
int hp_root_path(const char *path, struct stat *ret, struct hp_err *err);

/* The absolute @path below the directory @root, with those links on the way replaced by what they lead to
 * that root alone, by the same rules, could have put there.  Where others could have put a link nothing is
 * looked at any more: what is opened without following links is then where root wants it.  0 or a
 * negative errno. */
int hp_root_path_links(const char *root, const char *path, char *ret, size_t n);

#endif
