/* SPDX-License-Identifier: MIT */
/*
 * analyzer.h – included before every file that clang-tidy reads (Makefile, lint-tidy).  Its
 * analyzer sees one file at a time, so it must be told what these functions of other files do.
 */
#include <stdlib.h>

#include "base/array.h"
#include "hp/err.h"

#define hp_err_set(err, code, ...) ((hp_err_set)(err, code, __VA_ARGS__), (code))
#define hp_err_prefix(err, code, ...) ((hp_err_prefix)(err, code, __VA_ARGS__), (code))
/* errno is not 0 after a failure. */
#define hp_err_sys(err, errnum, ...) ((hp_err_sys)(err, errnum, __VA_ARGS__), -1)
#define hp_array_grow	analyzer_array_grow

static inline int analyzer_array_grow(void **v, size_t *room, size_t size)
{
	void *bigger = reallocarray(*v, *room + 8, size);

	if (!bigger)
		return -1;
	*v = bigger;
	*room += 8;
	return 0;
}
