/* SPDX-License-Identifier: MIT */
/* access/open_as.h – opening a file with somebody's rights. */
#ifndef HP_ACCESS_OPEN_AS_H
#define HP_ACCESS_OPEN_AS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose. */
struct hp_rights {
	uid_t uid;
	const gid_t *gid; /* the primary one first */
	size_t n_gids;
};

/* Opens @path for reading, from @dir (or AT_FDCWD), as @r may, with openat2(2)'s @resolve.  A FIFO or
 * a device does not block.  The descriptor, or a negative errno.  The calling process's rights are
 * changed for a moment: to be called in a job. */
int hp_open_as(const struct hp_rights *r, int dir, const char *path, uint64_t resolve);

#endif
