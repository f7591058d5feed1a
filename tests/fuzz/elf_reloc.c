/* SPDX-License-Identifier: MIT */
/* Relocations, against a target that knows some symbols of every kind. */
#include "fuzz_elf.h"

#include <elf.h>
#include <string.h>

#include "elf/reloc.h"

static int lookup(void *arg, const struct hp_reloc_sym *sym, struct hp_reloc_target *ret,
		  struct hp_err *err)
{
	size_t n = strlen(sym->name) + (sym->version ? strlen(sym->version) : 0);

	(void)arg;
	if (n % 5 == 4)
		return hp_err_set(err, -HP_E_UNDEFINED, "no '%s'", sym->name);
	ret->addr = 0x555555554000 + n;
	ret->ifunc = n % 5 == 3;
	ret->tls = sym->type == STT_TLS;
	ret->tpoff = -(int64_t)n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_err err = {0};
	struct hp_image *im = fuzz_image(bytes, n, &err);
	struct hp_relocs *rs = NULL;
	struct hp_fixups f = {0};

	if (!im) {
		fuzz_refused(&err);
		return 0;
	}
	if (hp_relocs_open(&rs, im, &err) ||
	    hp_relocs_compute(&f, rs, 0x7f0000000000, lookup, NULL, &err))
		fuzz_refused(&err);
	hp_relocs_free(rs);
	/* What is to be written lies in a writable segment, whole. */
	for (size_t i = 0; i < f.n; i++) {
		const Elf64_Phdr *p = hp_image_segment(im, f.v[i].where);

		if (!p || !(p->p_flags & PF_W) ||
		    p->p_memsz - (f.v[i].where - p->p_vaddr) < f.v[i].size)
			abort();
	}
	hp_fixups_free(&f);
	hp_image_free(im);
	return 0;
}
