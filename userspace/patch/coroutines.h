/* SPDX-License-Identifier: MIT */
#ifndef HP_PATCH_COROUTINES_H
#define HP_PATCH_COROUTINES_H

#include <stdbool.h>
#include <stddef.h>

struct hp_target;

/* Whether the program has coroutines, of which a suspended one is not seen; then @text says so. */
bool hp_coroutines(struct hp_target *t, char *text, size_t n);

#endif
