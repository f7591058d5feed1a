/* SPDX-License-Identifier: MIT */
/*
 * target/mapped.h – the file of a mapping, by /proc/PID/map_files.
 *
 * The numbers in maps do not tell files apart: on btrfs they are the superblock's device, which all
 * subvolumes have in common, and an inode number of one subvolume, so that containers made of one
 * image have different files with equal numbers; overlayfs has such files too.
 */
#ifndef HP_TARGET_MAPPED_H
#define HP_TARGET_MAPPED_H

#include <stdbool.h>
#include <sys/types.h>

#include "target/maps.h"

/* A file with its content, while nobody turns the clock back. */
struct hp_mapped_id {
	dev_t dev;
	ino_t ino;
	int64_t changed_s;
	uint32_t changed_ns;
};

/* A descriptor, or a negative errno: -ENOENT and -ESRCH when the mapping or its process is gone. */
int hp_mapped_open(pid_t pid, const struct hp_map *m);

/* Opens nothing: cheap enough for every mapping of every process.  By the time that somebody opens the
 * file, another one may be mapped there: what is kept about a file is kept for the id of its
 * descriptor. */
int hp_mapped_id(pid_t pid, const struct hp_map *m, struct hp_mapped_id *ret);
int hp_mapped_id_of_fd(int fd, struct hp_mapped_id *ret);
bool hp_mapped_same(const struct hp_mapped_id *a, const struct hp_mapped_id *b);

#endif
