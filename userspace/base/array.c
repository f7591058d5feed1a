/* SPDX-License-Identifier: MIT */
#include "base/array.h"

#include <errno.h>

int hp_array_grow(void **v, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 8;
	void *bigger = reallocarray(*v, want, size);

	if (!bigger)
		return -ENOMEM;
	*v = bigger;
	*room = want;
	return 0;
}
