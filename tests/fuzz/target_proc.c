/* SPDX-License-Identifier: MIT */
/* What the kernel says of a process, as if the bytes were that file: a process chooses its name and
 * the paths that it maps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fuzz.h"
#include "hp/err.h"

static int fuzz_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n);

#define hp_read_file   fuzz_read_file
#define ioctl(fd, ...) (errno = ENOTTY, -1) /* a kernel that has the text alone */
#include "target/maps.c"
#include "target/maps_read.c"
#undef ioctl
#undef FILE_MAX
#include "target/procfs.c"

static const uint8_t *file;
static size_t file_n;

static int fuzz_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n)
{
	(void)dirfd;
	(void)path;
	if (file_n > max)
		return -EFBIG;
	*ret = calloc(1, file_n + 1);
	if (!*ret)
		abort();
	memcpy(*ret, file, file_n);
	if (ret_n)
		*ret_n = file_n;
	return 0;
}

static void read_maps(void)
{
	struct hp_maps m = {0};
	struct hp_err err = {0};

	if (hp_maps_read(&m, 1, &err) < 0) {
		if (!err.text[0])
			abort(); /* a refusal says why */
		return;
	}
	for (size_t i = 0; i < m.n; i++) {
		const struct hp_map *v = &m.v[i];

		if (v->lo >= v->hi || v->path < m.text.v[0] || v->path > m.text.v[0] + file_n)
			abort();
		(void)hp_maps_find(&m, v->lo);			 /* for the sanitizers */
		(void)hp_maps_find_room(&m, 4096, (struct hp_range){v->lo, v->hi}, 1ull << 31); /* likewise */
	}
	hp_maps_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_stat st;
	uint64_t soft, hard, number;
	char text[32];

	/* No file of /proc has a NUL in it, and the readers take text. */
	if (memchr(bytes, 0, n))
		return 0;
	file = bytes;
	file_n = n;
	read_maps();
	if (hp_stat_read(1, &st) == 0 && !memchr(st.comm, 0, sizeof(st.comm)))
		abort();
	if (hp_status_text(1, "Uid", text, sizeof(text)) && !memchr(text, 0, sizeof(text)))
		abort();
	(void)hp_status_number(1, "Threads", 10, &number);		/* for the sanitizers */
	(void)hp_limit_read(1, "Max address space", &soft, &hard);	/* likewise */
	return 0;
}
