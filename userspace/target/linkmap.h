/* SPDX-License-Identifier: MIT */
/* target/linkmap.h – the order in which the dynamic loader searches modules.  Internal. */
#ifndef HP_TARGET_LINKMAP_H
#define HP_TARGET_LINKMAP_H

#include "target/target.h"

/* Sorts t->module from @first on: the executable, then as the loader's list (r_debug) has them,
 * then what the loader does not know, by address. */
void hp_linkmap_sort(struct hp_target *t, size_t first);

#endif
