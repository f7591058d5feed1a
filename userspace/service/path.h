/* SPDX-License-Identifier: MIT */
/* service/path.h – paths as another process sees them: its root, its working directory. */
#ifndef HP_SERVICE_PATH_H
#define HP_SERVICE_PATH_H

#include <stdbool.h>
#include <sys/types.h>

/* A file in the file system, whatever its name is for whom. */
struct hp_file_id {
	dev_t dev;
	ino_t ino; /* 0: no file */
};

/* O_PATH, without following a link at its end.  @dirfd is a descriptor of @pid, or AT_FDCWD.
 * The descriptor, or a negative errno. */
int hp_path_open(pid_t pid, int dirfd, const char *path);
/* The absolute @path, with no link on the way either: -ELOOP. */
int hp_path_open_straight(pid_t pid, const char *path);
int hp_path_id(pid_t pid, int dirfd, const char *path, struct hp_file_id *ret);

int hp_file_id_read(int fd, struct hp_file_id *ret);
bool hp_file_id_same(const struct hp_file_id *a, const struct hp_file_id *b);

#endif
