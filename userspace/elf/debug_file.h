/* SPDX-License-Identifier: MIT */
/*
 * elf/debug_file.h – the separate debug file of a stripped one, by its build-id, which is checked.
 * *ret = NULL and 0 when there is none; to be freed with hp_image_free().
 */
#ifndef HP_ELF_DEBUG_FILE_H
#define HP_ELF_DEBUG_FILE_H

struct hp_err;
struct hp_image;

/* In /usr/lib/debug/.build-id. */
int hp_debug_file_open(struct hp_image **ret, const struct hp_image *im, struct hp_err *err);

/* From the servers in $DEBUGINFOD_URLS, or their cache; asks nobody where that is not set.  May take
 * as long as the network does ($DEBUGINFOD_TIMEOUT). */
int hp_debug_file_fetch(struct hp_image **ret, const struct hp_image *im, struct hp_err *err);

#endif
