/* SPDX-License-Identifier: MIT */
/* service/path.h – paths as another process sees them: its root, its working directory. */
#ifndef HP_SERVICE_PATH_H
#define HP_SERVICE_PATH_H

#include <sys/types.h>

struct hp_file_id;

/* O_PATH, without following a link at its end.  @dirfd is a descriptor of @pid, or AT_FDCWD.
 * The descriptor, or a negative errno. */
int hp_path_open(pid_t pid, int dirfd, const char *path);
/* The absolute @path, with no link on the way either: -ELOOP. */
int hp_path_open_straight(pid_t pid, const char *path);
int hp_path_id(pid_t pid, int dirfd, const char *path, struct hp_file_id *ret);

#endif
