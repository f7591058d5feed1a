/* SPDX-License-Identifier: MIT */
#include "patch/file.h"

#include <errno.h>
#include <unistd.h>

#include "elf/reader.h"
#include "hp/err.h"

int hp_file_open(struct hp_file *ret, int fd, const char *name, struct hp_err *err)
{
	int own = dup(fd), r;

	*ret = (struct hp_file){0};
	if (own < 0)
		return hp_err_sys(err, errno, "dup");
	if ((r = hp_image_open(&ret->image, own, name, err)) >= 0 &&
	    (r = hp_reader_new(&ret->reader, name, err)) >= 0) {
		hp_reader_join(ret->reader, ret->image);
		r = hp_reader_start(ret->reader, err);
	}
	if (r < 0)
		hp_file_free(ret);
	return r;
}

void hp_file_free(struct hp_file *f)
{
	hp_image_free(f->image);
	hp_reader_free(f->reader);
	*f = (struct hp_file){0};
}
