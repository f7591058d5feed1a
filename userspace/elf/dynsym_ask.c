/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

#define NAMES_MAX 8192 /* a name and a version: C++ has names of some hundred letters */

struct told_definition {
	uint64_t value, size;
	uint64_t info, other; /* st_info, st_other */
};

static int find_here(const struct hp_dynsym *d, const char *name, const char *version,
		     Elf64_Sym *ret)
{
	return hp_dynsym_find(d, name, version, ret) ? 1 : 0;
}

/* --- in the reader ------------------------------------------------------------------------------ */

/* What was opened for an image stays so until the reader's end. */
static int opened(const struct hp_image *im, const struct hp_dynsym **ret, struct hp_err *err)
{
	static HP_ARRAY(struct hp_dynsym) all;
	struct hp_dynsym *slot;
	int r;

	for (size_t i = 0; i < all.n; i++)
		if (all.v[i].im == im) {
			*ret = &all.v[i];
			return 0;
		}
	slot = HP_ARRAY_ADD(&all);
	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: its dynamic symbols", im->name);
	r = hp_dynsym_open(slot, im, err);
	if (r < 0)
		all.n--;
	else
		*ret = slot;
	return r;
}

/* The bytes of the question: the name, and with the number 1 behind its NUL the version. */
static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const char *name = q->bytes, *version = q->number ? name + strlen(name) + 1 : NULL;
	struct told_definition *slot;
	const struct hp_dynsym *d = NULL;
	Elf64_Sym e;
	int r = opened(q->im, &d, err);

	if (r < 0 || !find_here(d, name, version, &e))
		return r;
	slot = hp_reply_add(reply);
	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: its dynamic symbols", q->im->name);
	*slot = (struct told_definition){e.st_value, e.st_size, e.st_info, e.st_other};
	return 0;
}

/* --- with the asker ----------------------------------------------------------------------------- */

static const struct hp_verb verb = {
	.what = "dynamic symbols",
	.record_size = sizeof(struct told_definition),
	.max_records = 1,
	.answer = answer,
};

static int accept(const struct hp_image *im, const struct hp_told *a, const char *name,
		  Elf64_Sym *ret, struct hp_err *err)
{
	const struct told_definition *t = a->record;
	Elf64_Sym e;

	if (!a->n)
		return 0;
	/* Of a section that is one: what is wanted of the index was asked by the reader. */
	e = (Elf64_Sym){.st_value = t->value,
			.st_size = t->size,
			.st_info = (uint8_t)t->info,
			.st_other = (uint8_t)t->other,
			.st_shndx = 1};
	if (t->info > UINT8_MAX || t->other > UINT8_MAX || !hp_dynsym_has_place(im, &e))
		return hp_reader_distrust(im->reader, &verb, err, "%s has no place", name);
	*ret = e;
	return 1;
}

static int ask(const struct hp_image *im, const char *name, const char *version, Elf64_Sym *ret,
	       struct hp_err *err)
{
	char both[NAMES_MAX];
	int n = snprintf(both, sizeof(both), "%s%c%s", name, 0, version ? version : "");
	const struct hp_question q = {.verb = &verb,
				      .im = im,
				      .bytes = both,
				      .n_bytes = (size_t)n + 1,
				      .number = version != NULL};
	struct hp_told a;
	int r;

	if ((size_t)n >= sizeof(both))
		return 0; /* no file has such a name, or nobody finds it */
	r = hp_reader_ask(im->reader, &q, &a, err);
	if (r < 0)
		return r;
	r = accept(im, &a, name, ret, err);
	hp_told_free(&a);
	return r;
}

int hp_dynsym_resolve(const struct hp_image *im, const char *name, const char *version,
		      Elf64_Sym *ret, struct hp_err *err)
{
	struct hp_dynsym d;
	int r;

	if (hp_reader_of(im))
		return ask(im, name, version, ret, err);
	r = hp_dynsym_open(&d, im, err);
	if (r < 0)
		return r;
	r = find_here(&d, name, version, ret);
	hp_dynsym_close(&d);
	return r;
}

/* --- imports ------------------------------------------------------------------------------------ */

static bool is_one_of(const char *name, const char *const *names, size_t n, uint64_t *ret)
{
	for (*ret = 0; *ret < n; ++*ret)
		if (!strcmp(name, names[*ret]))
			return true;
	return false;
}

static int answer_imports(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const char *name, *version;
	uint64_t at, *slot = NULL;
	struct hp_dynsym d;
	bool hidden;
	Elf64_Sym e;
	int r = hp_dynsym_open(&d, q->im, err);

	if (r < 0)
		return r;
	for (size_t i = 0; !slot && hp_dynsym_at(&d, i, &e, &name, &version, &hidden); i++)
		if (e.st_shndx == SHN_UNDEF && is_one_of(name, q->arg, q->number, &at) &&
		    (slot = hp_reply_add(reply)))
			*slot = at;
	hp_dynsym_close(&d);
	return 0;
}

static const struct hp_verb imports_verb = {
	.what = "imports",
	.record_size = sizeof(uint64_t),
	.max_records = 1,
	.answer = answer_imports,
};

int hp_dynsym_imports(const struct hp_image *im, const char *const *names, size_t n, size_t *ret,
		      struct hp_err *err)
{
	const struct hp_question q = {.verb = &imports_verb, .im = im, .arg = names, .number = n};
	struct hp_reader *reader = hp_reader_of(im);
	struct hp_told a;
	uint64_t at;
	int r = hp_reader_ask(reader, &q, &a, err);

	if (r < 0)
		return r;
	r = a.n == 1;
	if (r) {
		memcpy(&at, a.record, sizeof(at));
		*ret = at;
		if (at >= n)
			r = hp_reader_distrust(reader, &imports_verb, err, "the place of a name");
	}
	hp_told_free(&a);
	return r;
}
