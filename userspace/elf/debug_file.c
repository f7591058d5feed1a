/* SPDX-License-Identifier: MIT */
#include "elf/debug_file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "elf/note.h"
#include "elf/reader.h"
#include "elf/section.h"
#include "hp/err.h"

/* --- its build-id ------------------------------------------------------------------------------- */

struct told_id {
	uint64_t len;
	uint8_t id[HP_BUILD_ID_MAX];
};

/* A debug file keeps its notes, but elsewhere than its segments say. */
static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct told_id *slot = hp_reply_add(reply);
	struct hp_section s;
	size_t n;

	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: its build-id", q->im->name);
	if (hp_section_count(q->im, &n, NULL))
		return 0;
	for (size_t i = 1; !slot->len && i < n; i++)
		if (hp_section_at(q->im, i, &s) && s.header.sh_type == SHT_NOTE && s.bytes)
			slot->len = hp_note_build_id(s.bytes, s.header.sh_size,
						     s.header.sh_addralign, slot->id);
	return 0;
}

static const struct hp_verb verb = {
	.what = "build-id",
	.record_size = sizeof(struct told_id),
	.max_records = 1,
	.answer = answer,
};

static int find_build_id(struct hp_image *debug, struct hp_err *err)
{
	const struct hp_question q = {.verb = &verb, .im = debug};
	struct hp_reader *reader = hp_reader_of(debug);
	const struct told_id *told;
	struct hp_told a;
	int r = hp_reader_ask(reader, &q, &a, err);

	if (r < 0)
		return r;
	told = a.record;
	if (a.n != 1 || told->len > sizeof(debug->build_id)) {
		r = hp_reader_distrust(reader, &verb, err, "its length");
	} else {
		memcpy(debug->build_id, told->id, told->len);
		debug->build_id_len = told->len;
	}
	hp_told_free(&a);
	return r;
}

/* --- the file ----------------------------------------------------------------------------------- */

static int check_build_id(const struct hp_image *debug, const struct hp_image *im, const char *mend,
			  struct hp_err *err)
{
	char hex[2 * HP_BUILD_ID_MAX + 1], other[2 * HP_BUILD_ID_MAX + 1];

	if (debug->build_id_len == im->build_id_len &&
	    memcmp(debug->build_id, im->build_id, im->build_id_len) == 0)
		return 0;
	return hp_err_set(err, -HP_E_BUILD_ID, "%s: its build-id is %s, and not %s: %s %s",
			  debug->name, hp_image_build_id_hex(debug, other),
			  hp_image_build_id_hex(im, hex), mend, im->name);
}

/* Takes @fd over in every case. */
static int open_checked(struct hp_image **ret, const struct hp_image *im, int fd, const char *path,
			const char *mend, struct hp_err *err)
{
	struct hp_image *debug;
	int r = hp_image_open_bare(&debug, fd, path, err);

	if (r)
		return r;
	if (im->reader)
		hp_reader_join(im->reader, debug);
	if ((r = find_build_id(debug, err)) < 0 || (r = check_build_id(debug, im, mend, err)) < 0)
		hp_image_free(debug);
	else
		*ret = debug;
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

/* --- from a server ------------------------------------------------------------------------------ */

/* debuginfod_find_debuginfo(3).  The library brings an HTTP client along: it is loaded where there
 * are servers to be asked, and only there. */
static int fetch(const struct hp_image *im)
{
	void *lib = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	void *(*begin)(void) = NULL;
	int (*find)(void *client, const unsigned char *id, int len, char **path) = NULL;
	void (*end)(void *client) = NULL;
	void *client;
	int fd = -1;

	if (lib) {
		begin = (void *(*)(void))dlsym(lib, "debuginfod_begin");
		find = (int (*)(void *, const unsigned char *, int, char **))dlsym(
			lib, "debuginfod_find_debuginfo");
		end = (void (*)(void *))dlsym(lib, "debuginfod_end");
	}
	client = begin && find && end ? begin() : NULL;
	if (client) {
		fd = find(client, im->build_id, (int)im->build_id_len, NULL);
		end(client);
	}
	/* It stays loaded: libcurl cannot be begun twice in a process. */
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
