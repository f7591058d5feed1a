/* SPDX-License-Identifier: MIT */
/* .eh_frame, ours and libdw's reading of it. */
#include "fuzz_elf.h"

#include "elf/cfi.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_err err = {0};
	struct hp_image *im = fuzz_image(bytes, n, &err);
	struct hp_cfi *c = NULL;

	if (!im) {
		fuzz_refused(&err);
		return 0;
	}
	if (hp_cfi_open(&c, im, &err)) {
		fuzz_refused(&err);
		hp_image_free(im);
		return 0;
	}
	for (uint64_t vaddr = 0; vaddr < 0x4000; vaddr += 0x31) {
		struct hp_fde fde;
		int64_t offset;

		if (hp_cfi_find(c, vaddr, &fde) && (vaddr < fde.lo || vaddr >= fde.hi))
			abort();
		(void)hp_cfi_cfa_from_sp(c, vaddr, &offset); /* for the sanitizers */
	}
	hp_cfi_free(c);
	hp_image_free(im);
	return 0;
}
