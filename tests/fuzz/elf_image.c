/* SPDX-License-Identifier: MIT */
/* An image, its symbols and what it says of itself as a patch. */
#include "fuzz_elf.h"

#include <string.h>

#include "elf/dynsym.h"
#include "elf/patchinfo.h"
#include "elf/symtab.h"

static void look_up(const struct hp_image *im, const struct hp_symtab *st,
		    const struct hp_dynsym *dyn)
{
	const struct hp_sym *v, *found;
	size_t n = hp_symtab_all(st, &v);
	const char *similar;

	/* A prefix is enough: every look-up is of the same kind. */
	for (size_t i = 0; i < n && i < 64; i++) {
		const struct hp_sym *f = hp_symtab_func_at(st, v[i].value);
		Elf64_Sym sym;

		if (f && (v[i].value < f->value || v[i].value - f->value >= f->size))
			abort();
		if (!hp_symtab_find(st, v[i].name, NULL, &found, 1))
			abort();
		(void)hp_symtab_find(st, v[i].name, "x.c", &found, 1);	   /* for the sanitizers */
		(void)hp_dynsym_find(dyn, v[i].name, v[i].version, &sym);  /* likewise */
		(void)hp_symtab_aliases(st, v[i].value, &found, 1);	   /* likewise */
		(void)hp_symtab_prefix(st, v[i].name, &found, 1);	   /* likewise */
		(void)hp_symtab_similar(st, v[i].name, &similar, 1);	   /* likewise */
		/* A function's bytes are there, as far as the file has them. */
		if (v[i].type == STT_FUNC && v[i].size && !hp_image_segment(im, v[i].value))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_err err = {0};
	struct hp_image *im = fuzz_image(bytes, n, &err);
	struct hp_symtab *st = NULL;
	struct hp_patchinfo pi;
	struct hp_dynsym dyn;
	const char *needed;

	if (!im) {
		fuzz_refused(&err);
		return 0;
	}
	for (size_t i = 0; (needed = hp_image_needed(im, i)); i++)
		if (strlen(needed) >= im->dynstr_size)
			abort();
	(void)hp_image_section(im, ".hp.patch", NULL, NULL); /* for the sanitizers */
	if (hp_symtab_load(&st, im, NULL, &err)) {
		fuzz_refused(&err);
		hp_image_free(im);
		return 0;
	}
	if (hp_dynsym_open(&dyn, im, &err))
		abort(); /* the table of symbols has read it */
	look_up(im, st, &dyn);
	hp_dynsym_close(&dyn);
	if (hp_patchinfo_read(&pi, im, st, &err))
		fuzz_refused(&err);
	else
		hp_patchinfo_free(&pi);
	hp_symtab_free(st);
	hp_image_free(im);
	return 0;
}
