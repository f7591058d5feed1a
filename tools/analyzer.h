/* SPDX-License-Identifier: MIT */
/*
 * analyzer.h – included before every file that clang-tidy reads (Makefile, lint-tidy).  Its
 * analyzer sees one file at a time, so it must be told what these functions and macros do.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/array.h"
#include "hp/err.h"

#define hp_err_set(err, code, ...)    ((hp_err_set)(err, code, __VA_ARGS__), (code))
#define hp_err_prefix(err, code, ...) ((hp_err_prefix)(err, code, __VA_ARGS__), (code))
#define hp_err_sys(err, errnum, ...)  ((hp_err_sys)(err, errnum, __VA_ARGS__), -1)

/* It is read after a failure, so it is not 0.  Constants, because the analyzer of LLVM 14 does not
 * know that the negative of something positive is negative. */
int analyzer_choice(void);
#undef errno
#define errno (*(int[]){analyzer_choice() ? EIO : analyzer_choice() ? EINTR : ENOENT})

#define hp_array_grow analyzer_array_grow
static inline int analyzer_array_grow(void **v, size_t *room, size_t size)
{
	void *bigger = reallocarray(*v, *room + 8, size);

	if (!bigger)
		return -1;
	*v = bigger;
	*room += 8;
	return 0;
}

/* It does not follow a list's pointers to pointers: after a removal the first is another one. */
void *analyzer_first(const void *head);
#undef TAILQ_FIRST
#define TAILQ_FIRST(head) ((__typeof__((head)->tqh_first))analyzer_first(head))
