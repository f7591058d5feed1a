/* SPDX-License-Identifier: MIT */
/* target/maps.h – /proc/PID/maps as a sorted array. */
#ifndef HP_TARGET_MAPS_H
#define HP_TARGET_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"

struct hp_err;

struct hp_map {
	hp_addr lo, hi;
	uint64_t offset; /* in the file */
	int prot;	 /* PROT_* */
	bool shared;
	dev_t dev;
	ino_t ino;
	const char *path; /* "" for anonymous; "[heap]", "/memfd:hp-… (deleted)", … */
};

struct hp_maps {
	struct hp_map *v;
	size_t n, room;
	struct {
		char **v;
		size_t n, room;
	} text; /* what the paths point into */
};

/* Replaces what @m held (zero it before the first time).  -HP_E_GONE when the process is gone. */
int hp_maps_read(struct hp_maps *m, pid_t pid, struct hp_err *err);
void hp_maps_free(struct hp_maps *m);

/* The same for what lies in @r.  1: all of it was read, as older kernels want it; 0. */
int hp_maps_reread(struct hp_maps *m, pid_t pid, struct hp_range r, struct hp_err *err);

/* @r with all of each mapping that has a part in it. */
struct hp_range hp_maps_widen(const struct hp_maps *m, struct hp_range r);

/* @with, all within @r, takes the place of what @m has there, and is empty then.  @r is as hp_maps_widen()
 * makes it.  -ENOMEM: nothing has changed. */
int hp_maps_splice(struct hp_maps *m, struct hp_range r, struct hp_maps *with);

/* Puts in a mapping at @r, of which nothing is known but that it is there. */
int hp_maps_add(struct hp_maps *m, struct hp_range r);

const struct hp_map *hp_maps_find(const struct hp_maps *m, hp_addr a); /* NULL: unmapped */
bool hp_maps_free_range(const struct hp_maps *m, struct hp_range r);   /* nothing mapped in r */

/* A free, page-aligned range of @n bytes whose every byte is within @reach of every byte of @near,
 * at least one guard page away from any mapping, nearest first; 0: there is none.
 * Never below vm.mmap_min_addr, never in a stack's or the heap's growing room (64 MB). */
hp_addr hp_maps_find_room(const struct hp_maps *m, size_t n, struct hp_range near, uint64_t reach);

#endif
