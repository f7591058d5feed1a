/* SPDX-License-Identifier: MIT */
/* patch/file.h – the file of a patch, and the process that reads it. */
#ifndef HP_PATCH_FILE_H
#define HP_PATCH_FILE_H

#include "elf/image.h"

struct hp_err;
struct hp_reader;

struct hp_file {
	struct hp_reader *reader;
	struct hp_image *image; /* of the copy that was hashed */
};

/* @fd stays the caller's.  The reader gets ready while its asker does something else. */
int hp_file_open(struct hp_file *ret, int fd, const char *name, struct hp_err *err);
void hp_file_free(struct hp_file *f);

#endif
