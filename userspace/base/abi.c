/* SPDX-License-Identifier: MIT */
#include "base/abi.h"

#include <errno.h>
#include <string.h>

#include "hp/err.h"

int hp_abi_copy(void *mine, size_t room, const void *theirs, const char *what, struct hp_err *err)
{
	size_t size = *(const size_t *)theirs;

	if (size < sizeof(size) || size > room)
		return hp_err_set(err, -EINVAL,
				  "%s.size is %zu; this version of the library knows 8 to %zu", what,
				  size, room);
	memset(mine, 0, room);
	memcpy(mine, theirs, size);
	return 0;
}
