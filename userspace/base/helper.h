/* SPDX-License-Identifier: MIT */
/* base/helper.h – what a small process of hp's own begins with: nothing of what it inherited. */
#ifndef HP_BASE_HELPER_H
#define HP_BASE_HELPER_H

#include <stddef.h>

#define HP_HELPER_FDS_MAX 8

/* To be called first in a fork.  Closes every descriptor but the @n in @keep, ignores the signals
 * that can be ignored, leaves session and terminal, and is called @name from then on.  0 or a
 * negative errno; the fork then has to _exit(). */
int hp_helper_begin(const char *name, const int *keep, size_t n);

/* The same in the session that it was born in, for one that is begun often: a session of its own is
 * a scheduling group of its own, which costs as much as the fork. */
int hp_helper_strip(const char *name, const int *keep, size_t n);

#endif
