/* SPDX-License-Identifier: MIT */
#include "callsite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void callsite_overwrite(void *old, void *replacement)
{
	uintptr_t page = (uintptr_t)old & ~(uintptr_t)4095;
	int32_t rel = (int32_t)((intptr_t)replacement - ((intptr_t)old + 5));
	unsigned char jump[5] = {0xe9};

	if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
		abort();
	memcpy(jump + 1, &rel, sizeof(rel));
	memcpy(old, jump, sizeof(jump));
	if (mprotect((void *)page, 8192, PROT_READ | PROT_EXEC))
		abort();
}
