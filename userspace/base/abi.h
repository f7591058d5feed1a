/* SPDX-License-Identifier: MIT */
/* base/abi.h – structures of programs that were built with another version of a public header. */
#ifndef HP_BASE_ABI_H
#define HP_BASE_ABI_H

#include <stddef.h>

struct hp_err;

/* Copies @theirs into @mine, of @room bytes: what an older version does not have is 0.  The first
 * member of both is a size_t, their sizeof; one that is larger holds what nobody here would heed:
 * -EINVAL.  @what names it. */
int hp_abi_copy(void *mine, size_t room, const void *theirs, const char *what, struct hp_err *err);

#endif
