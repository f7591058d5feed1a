/* SPDX-License-Identifier: MIT */
#ifndef HP_TESTS_FUZZ_ELF_H
#define HP_TESTS_FUZZ_ELF_H

#include <stdlib.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "elf/image.h"
#include "fuzz.h"
#include "hp/err.h"

/* The image that @bytes are, or NULL. */
static inline struct hp_image *fuzz_image(const uint8_t *bytes, size_t n, struct hp_err *err)
{
	struct hp_image *im = NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || hp_pwrite_all(fd, bytes, n, 0))
		abort();
	return hp_image_open(&im, fd, "fuzz", err) ? NULL : im;
}

/* A refusal says why. */
static inline void fuzz_refused(const struct hp_err *err)
{
	if (!err->text[0] || err->code >= 0)
		abort();
}

#endif
