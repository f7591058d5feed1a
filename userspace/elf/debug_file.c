/* SPDX-License-Identifier: MIT */
#include "elf/debug_file.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/image.h"
#include "hp/err.h"

/* Takes @fd over in every case. */
static int open_checked(struct hp_image **ret, const struct hp_image *im, int fd, const char *path,
			const char *mend, struct hp_err *err)
{
	char hex[2 * HP_BUILD_ID_MAX + 1], other[2 * HP_BUILD_ID_MAX + 1];
	struct hp_image *debug;
	int r = hp_image_open_bare(&debug, fd, path, err);

	if (r)
		return r;
	if (debug->build_id_len == im->build_id_len &&
	    memcmp(debug->build_id, im->build_id, im->build_id_len) == 0) {
		*ret = debug;
		return 0;
	}
	r = hp_err_set(err, -HP_E_BUILD_ID, "%s: its build-id is %s, and not %s: %s %s", path,
		       hp_image_build_id_hex(debug, other), hp_image_build_id_hex(im, hex), mend,
		       im->name);
	hp_image_free(debug);
	return r;
}

int hp_debug_file_open(struct hp_image **ret, const struct hp_image *im, struct hp_err *err)
{
	char hex[2 * HP_BUILD_ID_MAX + 1], path[2 * HP_BUILD_ID_MAX + 64];
	int fd;

	*ret = NULL;
	if (im->build_id_len < 2)
		return 0;
	hp_image_build_id_hex(im, hex);
	snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return hp_err_sys(err, errno, "%s", path);
	return open_checked(ret, im, fd, path, "reinstall the debug package of", err);
}

/* libdwfl knows the client library, and loads it where there are servers to be asked. */
static int fetch(const struct hp_image *im)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
						 .find_debuginfo = dwfl_standard_find_debuginfo};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	hp_autoclose int copy = fcntl(im->fd, F_DUPFD_CLOEXEC, 0);
	Dwfl_Module *m = NULL;
	char *file = NULL;
	int fd = -1;

	if (dwfl && copy >= 0)
		m = dwfl_report_elf(dwfl, im->name, im->name, copy, 0, false);
	if (m) {
		(void)HP_TAKE_FD(copy); /* closed by dwfl_end() */
		fd = dwfl_standard_find_debuginfo(m, NULL, im->name, 0, NULL, NULL, 0, &file);
	}
	free(file);
	dwfl_end(dwfl);
	return fd;
}

int hp_debug_file_fetch(struct hp_image **ret, const struct hp_image *im, struct hp_err *err)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	int fd;

	*ret = NULL;
	if (!urls || !*urls || im->build_id_len < 2)
		return 0;
	fd = fetch(im);
	return fd < 0 ? 0
		      : open_checked(ret, im, fd, "the debug file from debuginfod",
				     "it is not that of", err);
}
