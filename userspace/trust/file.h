/* SPDX-License-Identifier: MIT */
/* trust/file.h – files that decide what root does, and so must be root's alone. */
#ifndef HP_TRUST_FILE_H
#define HP_TRUST_FILE_H

#include <stddef.h>

struct hp_err;

/* 0 when only root can change what @fd is open on; else -HP_E_DENIED, naming it and its owner. */
int hp_root_only(int fd, const char *name, struct hp_err *err);

/* The text of the regular file @path (at @dir), which must be root's alone; symbolic links are not
 * followed.  To be freed with free().  -ENOENT is returned as it is. */
int hp_root_file_read(int dir, const char *path, const char *name, size_t max, char **ret,
		      struct hp_err *err);

#endif
