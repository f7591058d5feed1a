/* SPDX-License-Identifier: MIT */
/*
 * The records come from the reader, one by one as they lie in the file; what is in them is looked at
 * here, in that copy.
 */
#include "elf/patchinfo.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "elf/reader.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "hp/patch.h"

#define SECTION ".hp.patch"

#define HOOK_TEXT_MAX 256
#define RECORDS_MAX   65536 /* 32 MB */

_Static_assert(sizeof(struct hp_patch_record) == 512, "patches are files: the format does not move");

/* --- is it a patch? ----------------------------------------------------------------------------- */

static bool has_segment(const struct hp_image *im, uint32_t type)
{
	for (size_t i = 0; i < im->n_phdrs; i++)
		if (im->phdr[i].p_type == type && im->phdr[i].p_memsz)
			return true;
	return false;
}

/* A PIE is ET_DYN too.  Linkers that do not set DF_1_PIE yet write DT_DEBUG into executables only;
 * an interpreter alone does not tell: libc.so.6 has one and is a shared object. */
static bool is_executable(const struct hp_image *im)
{
	uint64_t v;

	if (im->ehdr.e_type == ET_EXEC)
		return true;
	if (hp_image_dynamic(im, DT_FLAGS_1, &v) && (v & DF_1_PIE))
		return true;
	return has_segment(im, PT_INTERP) && hp_image_dynamic(im, DT_DEBUG, &v);
}

static const char *tls_name(const struct hp_symtab *st)
{
	const struct hp_sym *v;
	size_t n = hp_symtab_all(st, &v);

	for (size_t i = 0; i < n; i++)
		if (v[i].type == STT_TLS)
			return v[i].name;
	return NULL;
}

static int check_patch(const struct hp_image *im, const struct hp_symtab *st, struct hp_err *err)
{
	const char *tls;

	if (is_executable(im))
		return hp_err_set(err, -HP_E_NOT_PATCH,
				  "%s: is an executable, not a shared object: link it with -shared "
				  "-fPIC",
				  im->name);
	if (!im->dynamic)
		return hp_err_set(err, -HP_E_NOT_PATCH,
				  "%s: has no dynamic section, so it is no shared object: link it with "
				  "-shared -fPIC",
				  im->name);
	if (!has_segment(im, PT_TLS))
		return 0;
	tls = tls_name(st);
	return hp_err_set(err, -HP_E_TLS,
			  "%s: defines thread-local variables (%s), which no running thread has room "
			  "for: use ordinary variables, or those of the target by extern",
			  im->name, tls ? tls : "their names are stripped");
}

/* --- records ------------------------------------------------------------------------------------ */

static bool ends(const char *text)
{
	return memchr(text, 0, HP_PATCH_TEXT_MAX) != NULL;
}

static struct hp_pairs *pairs_of(struct hp_patchinfo *pi, unsigned kind)
{
	switch (kind) {
	case HP_PATCH_REPLACE:
		return &pi->replace;
	case HP_PATCH_REF:
		return &pi->ref;
	case HP_PATCH_ORIG:
		return &pi->orig;
	case HP_PATCH_META:
		return &pi->meta;
	}
	return NULL;
}

static int read_record(struct hp_patchinfo *pi, const struct hp_image *im, size_t i,
		       const struct hp_patch_record *r, struct hp_err *err)
{
	struct hp_pairs *pairs = pairs_of(pi, r->kind);

	if (r->magic != HP_PATCH_MAGIC)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: record %zu of " SECTION " does not begin with \"php1\": compile "
				  "it with the hp/patch.h of this hp",
				  im->name, i);
	if (!pairs)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: record %zu of " SECTION " is of kind %u, which this hp does not "
				  "know",
				  im->name, i, r->kind);
	if (!ends(r->key) || !ends(r->value))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: record %zu of " SECTION " has a text of more than %d letters",
				  im->name, i, HP_PATCH_TEXT_MAX - 1);
	if (!*r->key || (!*r->value && r->kind != HP_PATCH_META))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: record %zu of " SECTION " has no name",
				  im->name, i);
	if (hp_pairs_add(pairs, r->key, r->value))
		return hp_err_sys(err, ENOMEM, "%s: " SECTION, im->name);
	return 0;
}

/* In the reader. */
static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const size_t size = sizeof(struct hp_patch_record);
	const uint8_t *bytes;
	size_t n;

	bytes = hp_image_section(q->im, SECTION, NULL, &n);
	if (!bytes)
		return 0;
	if (n % size)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: " SECTION " has %zu bytes, which are no whole records of %zu: "
				  "compile it with the hp/patch.h of this hp",
				  q->im->name, n, size);
	for (size_t at = 0; at < n; at += size) {
		void *slot = hp_reply_add(reply);

		if (!slot)
			return hp_err_set(err, -HP_E_BAD_ELF, "%s: " SECTION " has more than %d records",
					  q->im->name, RECORDS_MAX);
		memcpy(slot, bytes + at, size);
	}
	return 0;
}

static const struct hp_verb verb = {
	.what = "records",
	.record_size = sizeof(struct hp_patch_record),
	.max_records = RECORDS_MAX,
	.answer = answer,
};

static int read_records(struct hp_patchinfo *pi, const struct hp_image *im, struct hp_err *err)
{
	const struct hp_question q = {.verb = &verb, .im = im};
	const struct hp_patch_record *record;
	struct hp_told a;
	int r = hp_reader_ask(hp_reader_of(im), &q, &a, err);

	if (r < 0)
		return r;
	record = a.record;
	for (size_t i = 0; !r && i < a.n; i++)
		r = read_record(pi, im, i, &record[i], err);
	hp_told_free(&a);
	return r;
}

/* --- hooks -------------------------------------------------------------------------------------- */

const char *hp_hook_name(enum hp_hook h)
{
	static const char *const names[HP_HOOKS] = {
		[HP_HOOK_BEFORE_LOAD] = "HPBeforeLoad",
		[HP_HOOK_AFTER_LOAD] = "HPAfterLoad",
		[HP_HOOK_BEFORE_UNLOAD] = "HPBeforeUnload",
		[HP_HOOK_AFTER_UNLOAD] = "HPAfterUnload",
	};

	return names[h];
}

static int find_hook(struct hp_patchinfo *pi, const struct hp_image *im, const struct hp_symtab *st,
		     enum hp_hook h, struct hp_err *err)
{
	const char *name = hp_hook_name(h);
	const struct hp_sym *sym;
	size_t n = hp_symtab_find(st, name, NULL, &sym, 1);

	if (n == 0)
		return 0;
	if (n > 1)
		return hp_err_set(err, -HP_E_AMBIGUOUS, "%s: has %zu definitions of the hook %s",
				  im->name, n, name);
	if (sym->type != STT_FUNC)
		return hp_err_set(err, -HP_E_NOT_FUNCTION,
				  "%s: '%s' is not a function, as a hook of that name must be",
				  im->name, name);
	pi->hook[h] = sym->value;
	return 0;
}

/* Anything of that name that is no array of some use is not meant. */
static void find_hook_text(struct hp_patchinfo *pi, const struct hp_symtab *st)
{
	const struct hp_sym *sym;

	if (hp_symtab_find(st, "HPError", NULL, &sym, 1) != 1 || sym->type != STT_OBJECT ||
	    sym->size < 2)
		return;
	pi->hook_text = sym->value;
	pi->hook_text_bytes = sym->size < HOOK_TEXT_MAX ? (uint32_t)sym->size
							   : HOOK_TEXT_MAX;
}

int hp_patchinfo_read(struct hp_patchinfo *ret, const struct hp_image *im,
		      const struct hp_symtab *st, struct hp_err *err)
{
	struct hp_patchinfo pi = {0};
	int r;

	r = check_patch(im, st, err);
	if (!r)
		r = read_records(&pi, im, err);
	for (enum hp_hook h = 0; !r && h < HP_HOOKS; h++)
		r = find_hook(&pi, im, st, h, err);
	find_hook_text(&pi, st);
	if (r) {
		hp_patchinfo_free(&pi);
		return r;
	}
	*ret = pi;
	return 0;
}

void hp_patchinfo_free(struct hp_patchinfo *pi)
{
	hp_pairs_free(&pi->replace);
	hp_pairs_free(&pi->ref);
	hp_pairs_free(&pi->orig);
	hp_pairs_free(&pi->meta);
}
