/* SPDX-License-Identifier: MIT */
/* tests/unit/arch_fixture.h – the programs of fixtures/, opened.  Behind cmocka.h. */
#ifndef ARCH_FIXTURE_H
#define ARCH_FIXTURE_H

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

struct program {
	struct hp_image *im;
	struct hp_symtab *st;
	struct hp_cfi *cfi;
};

/* Beside this test's own binary: fixtures/@name. */
static int open_fixture(struct program *p, const char *name)
{
	char path[PATH_MAX] = "";
	struct hp_err e = {0};
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash = n > 0 ? strrchr(path, '/') : NULL;

	assert_non_null(slash);
	snprintf(slash, 64, "/fixtures/%s", name);
	if (hp_image_open(&p->im, open(path, O_RDONLY | O_CLOEXEC), name, &e) ||
	    hp_symtab_load(&p->st, p->im, NULL, &e) || hp_cfi_open(&p->cfi, p->im, &e)) {
		print_message("%s: %s\n", path, e.text);
		return -1;
	}
	return 0;
}

static void close_fixture(struct program *p)
{
	hp_cfi_free(p->cfi);
	hp_symtab_free(p->st);
	hp_image_free(p->im);
}

#endif
