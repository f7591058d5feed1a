/* SPDX-License-Identifier: MIT */
/* base/array.h – a growing array: { T *v; size_t n; size_t room; }. */
#ifndef HP_BASE_ARRAY_H
#define HP_BASE_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

#define HP_ARRAY(type)                                                                             \
	struct {                                                                                   \
		type *v;                                                                           \
		size_t n, room;                                                                    \
	}

/* Makes room for one more element and returns a pointer to it, or NULL without
 * memory.  The element's bytes are not set. */
#define HP_ARRAY_ADD(a)                                                                            \
	((a)->n < (a)->room || hp_array_grow((void **)&(a)->v, &(a)->room, sizeof(*(a)->v)) == 0   \
		 ? &(a)->v[(a)->n++]                                                               \
		 : NULL)

#define HP_ARRAY_FREE(a)                                                                           \
	do {                                                                                       \
		free((a)->v);                                                                      \
		(a)->v = NULL;                                                                     \
		(a)->n = (a)->room = 0;                                                            \
	} while (0)

int hp_array_grow(void **v, size_t *room, size_t size);

#endif
