/* SPDX-License-Identifier: MIT */
/* Real ELF files for the tests of userspace/elf, made by the compiler in a directory of their own. */
#ifndef HP_TESTS_ELF_FILES_H
#define HP_TESTS_ELF_FILES_H

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

static char dir[] = "/tmp/hp-elf-XXXXXX";

/* Runs a shell command in the directory; the test fails if it does.  The tree's include folder is
 * $INCLUDE. */
__attribute__((format(printf, 1, 2), unused)) static void run(const char *fmt, ...)
{
	char command[4096], here[PATH_MAX];
	va_list ap;
	int n;

	assert_non_null(getcwd(here, sizeof(here)));
	n = snprintf(command, sizeof(command), "cd %s && INCLUDE=%s/include && ", dir, here);
	va_start(ap, fmt);
	vsnprintf(command + n, sizeof(command) - (size_t)n, fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

__attribute__((unused)) static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

__attribute__((unused)) static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

__attribute__((unused)) static struct hp_image *open_file(const char *name)
{
	struct hp_image *im = NULL;
	struct hp_err err = {0};
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	if (hp_image_open(&im, fd, name, &err))
		fail_msg("%s", err.text);
	return im;
}

__attribute__((unused)) static struct hp_symtab *load_symbols(const struct hp_image *im)
{
	struct hp_symtab *st = NULL;
	struct hp_err err = {0};

	if (hp_symtab_load(&st, im, NULL, &err))
		fail_msg("%s", err.text);
	return st;
}

/* A file that consists of @bytes. */
__attribute__((unused)) static int memory_file(const void *bytes, size_t n)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(hp_pwrite_all(fd, bytes, n, 0), 0);
	return fd;
}

__attribute__((unused)) static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

__attribute__((unused)) static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

__attribute__((unused)) static int remove_dir(void **state)
{
	char command[PATH_MAX];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

#endif
