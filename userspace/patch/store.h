/* SPDX-License-Identifier: MIT */
/*
 * patch/store.h – hp's own files: the content-addressed store of patches and the template of path
 * blocks.  A patch is read once, from one descriptor; what is hashed is what is mapped.
 */
#ifndef HP_PATCH_STORE_H
#define HP_PATCH_STORE_H

#include "patch/ops.h"

#define HP_PATCH_MAX_BYTES (256ull << 20)

/* Copies the file behind @fd into a sealed memfd (*ret_fd) and names it by its SHA-256. @name is for
 * messages.  Changes nothing on disk. */
int hp_store_read(int fd, const char *name, char id[HP_ID_LEN + 1], int *ret_fd,
		  struct hp_err *err);

/* Puts a copy made by hp_store_read() at <state_dir>/patches/<id>.so, if it is not there, and opens
 * it read-only. */
int hp_store_keep(const char *state_dir, const char *id, int copy_fd, int *ret_fd,
		  struct hp_err *err);

/* Opens <state_dir>/HP_TEMPLATE_NAME, made if it is not there, never written again. */
int hp_store_template(const char *state_dir, int *ret_fd, struct hp_err *err);

#endif
