/* SPDX-License-Identifier: MIT */
#include "trust/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "hp/err.h"

int hp_root_only(int fd, const char *name, struct hp_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "stat %s", name);
	if (st.st_uid != 0)
		return hp_err_set(err, -HP_E_DENIED, "%s belongs to uid %u: it must be root's",
				  name, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return hp_err_set(err, -HP_E_DENIED,
				  "%s can be written by others than root: chmod go-w it", name);
	return 0;
}

int hp_root_file_read(int dir, const char *path, const char *name, size_t max, char **ret,
		      struct hp_err *err)
{
	hp_autoclose int fd =
		openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text;
	int r;

	if (fd < 0)
		return hp_err_sys(err, errno, "open %s", name);
	if ((r = hp_root_only(fd, name, err)) < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return hp_err_set(err, -HP_E_DENIED, "%s is not a regular file", name);
	if ((size_t)st.st_size > max)
		return hp_err_set(err, -HP_E_DENIED, "%s is longer than %zu bytes", name, max);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return hp_err_set(err, -ENOMEM, "no memory to read %s", name);
	r = hp_pread_all(fd, text, (size_t)st.st_size, 0);
	if (r < 0) {
		free(text);
		return hp_err_sys(err, -r, "read %s", name);
	}
	/* What lies behind it would be lost. */
	if (memchr(text, 0, (size_t)st.st_size)) {
		free(text);
		return hp_err_set(err, -HP_E_DENIED, "%s is no text: it has a NUL byte", name);
	}
	*ret = text;
	return 0;
}
