/* SPDX-License-Identifier: MIT */
#include "elf/reloc_list.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "elf/dynsym.h"
#include "elf/image.h"
#include "hp/err.h"

/* A RELR bitmap makes 63 words of 8 bytes: this bounds what a small file can ask for (200 MB). */
#define MAX_RELOCS (4u << 20)
#define MAX_NAMES  (256u << 20)

struct list {
	const struct hp_image *im;
	struct hp_dynsym dynsym;
	struct hp_reply *reply;
	struct hp_reloc last; /* relocations of one symbol mostly follow each other */
	uint32_t last_index;
};

static int add(struct list *l, const struct hp_reloc *rel, struct hp_err *err)
{
	struct hp_reloc *slot = hp_reply_add(l->reply);

	if (!slot)
		return hp_err_set(err, -HP_E_RELOC, "%s: more than %u relocations", l->im->name,
				  MAX_RELOCS);
	*slot = *rel;
	return 0;
}

static bool put(struct list *l, const char *s, uint32_t *ret)
{
	*ret = HP_RELOC_NO_TEXT;
	return !s || hp_reply_string(l->reply, s, ret);
}

static int read_symbol(struct list *l, uint32_t index, struct hp_err *err)
{
	const char *name, *version;
	bool hidden;
	Elf64_Sym e;

	if (!hp_dynsym_at(&l->dynsym, index, &e, &name, &version, &hidden))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: a relocation names symbol %" PRIu32 ", which is not there",
				  l->im->name, index);
	l->last_index = index;
	l->last = (struct hp_reloc){
		.value = e.st_value,
		.size = e.st_size,
		.sym_type = ELF64_ST_TYPE(e.st_info),
		.sym_bind = ELF64_ST_BIND(e.st_info),
		.flags = (e.st_shndx != SHN_UNDEF ? HP_RELOC_DEFINED : 0) |
			 (e.st_shndx == SHN_ABS ? HP_RELOC_ABSOLUTE : 0) |
			 (ELF64_ST_VISIBILITY(e.st_other) == STV_DEFAULT ? HP_RELOC_VISIBLE : 0),
	};
	if (!put(l, name, &l->last.name) || !put(l, version, &l->last.version))
		return hp_err_set(err, -HP_E_RELOC, "%s: the names in its relocations are too long",
				  l->im->name);
	return 0;
}

static int add_rela(struct list *l, const Elf64_Rela *rela, struct hp_err *err)
{
	uint32_t index = ELF64_R_SYM(rela->r_info);
	struct hp_reloc rel = {.name = HP_RELOC_NO_TEXT, .version = HP_RELOC_NO_TEXT};
	int r = index && index != l->last_index ? read_symbol(l, index, err) : 0;

	if (r)
		return r;
	if (index)
		rel = l->last;
	rel.where = rela->r_offset;
	rel.addend = rela->r_addend;
	rel.type = ELF64_R_TYPE(rela->r_info);
	return add(l, &rel, err);
}

static int table_at(const struct list *l, const char *what, int64_t tag, int64_t size_tag,
		    const uint8_t **ret, size_t *n, struct hp_err *err)
{
	uint64_t at, size;

	*n = 0;
	if (!hp_image_dynamic(l->im, tag, &at) || !hp_image_dynamic(l->im, size_tag, &size) ||
	    !size)
		return 0;
	*ret = hp_image_at(l->im, at, size);
	if (!*ret)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: its %s relocations (0x%" PRIx64 ", 0x%" PRIx64
				  " bytes) lie in no segment",
				  l->im->name, what, at, size);
	*n = size;
	return 0;
}

static int do_rela(struct list *l, const char *what, int64_t tag, int64_t size_tag,
		   struct hp_err *err)
{
	const uint8_t *table = NULL;
	size_t n;
	int r;

	r = table_at(l, what, tag, size_tag, &table, &n, err);
	for (size_t at = 0; !r && n - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
		Elf64_Rela rela;

		memcpy(&rela, table + at, sizeof(rela));
		r = add_rela(l, &rela, err);
	}
	return r;
}

/* Its addend is the word itself; in .bss that is 0. */
static int relative_word(struct list *l, uint64_t where, struct hp_err *err)
{
	const uint8_t *p = hp_image_at(l->im, where, 8);
	struct hp_reloc rel = {.where = where,
			       .type = R_X86_64_RELATIVE,
			       .name = HP_RELOC_NO_TEXT,
			       .version = HP_RELOC_NO_TEXT};

	if (p)
		memcpy(&rel.addend, p, sizeof(rel.addend));
	return add(l, &rel, err);
}

/* gABI: an even entry is an address; an odd one is a bitmap of the 63 words that follow. */
static int do_relr(struct list *l, struct hp_err *err)
{
	const uint8_t *table = NULL;
	uint64_t next = 0;
	size_t n;
	int r;

	r = table_at(l, "RELR", DT_RELR, DT_RELRSZ, &table, &n, err);
	for (size_t at = 0; !r && n - at >= sizeof(Elf64_Relr); at += sizeof(Elf64_Relr)) {
		Elf64_Relr entry;

		memcpy(&entry, table + at, sizeof(entry));
		if (!(entry & 1)) {
			r = relative_word(l, entry, err);
			next = entry + 8;
			continue;
		}
		for (unsigned bit = 0; !r && bit < 63; bit++)
			if (entry >> (bit + 1) & 1)
				r = relative_word(l, next + 8 * bit, err);
		next += 63 * 8;
	}
	return r;
}

static int check_tables(const struct hp_image *im, struct hp_err *err)
{
	uint64_t v;

	if ((hp_image_dynamic(im, DT_RELSZ, &v) && v) ||
	    (hp_image_dynamic(im, DT_PLTREL, &v) && v != DT_RELA))
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: has REL relocations, which x86-64 does not use", im->name);
	if ((hp_image_dynamic(im, DT_RELAENT, &v) && v != sizeof(Elf64_Rela)) ||
	    (hp_image_dynamic(im, DT_RELRENT, &v) && v != sizeof(Elf64_Relr)))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: relocations of %" PRIu64 " bytes",
				  im->name, v);
	return 0;
}

static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct list l = {.im = q->im, .reply = reply};
	int r = check_tables(q->im, err);

	if (!r)
		r = hp_dynsym_open(&l.dynsym, q->im, err);
	if (r)
		return r;
	r = do_relr(&l, err);
	if (!r)
		r = do_rela(&l, "RELA", DT_RELA, DT_RELASZ, err);
	if (!r)
		r = do_rela(&l, "PLT", DT_JMPREL, DT_PLTRELSZ, err);
	hp_dynsym_close(&l.dynsym);
	return r;
}

static const struct hp_verb verb = {
	.what = "relocations",
	.record_size = sizeof(struct hp_reloc),
	.max_records = MAX_RELOCS,
	.max_text = MAX_NAMES,
	.answer = answer,
};

static bool text_holds(const struct hp_told *a, uint32_t at)
{
	return at == HP_RELOC_NO_TEXT || hp_told_string(a, at);
}

int hp_reloc_list(const struct hp_image *im, struct hp_told *ret, struct hp_err *err)
{
	const struct hp_question q = {.verb = &verb, .im = im};
	struct hp_told a;
	const struct hp_reloc *rel;
	int r = hp_reader_ask(hp_reader_of(im), &q, &a, err);

	if (r < 0)
		return r;
	rel = a.record;
	for (size_t i = 0; i < a.n && !r; i++)
		if (!text_holds(&a, rel[i].name) || !text_holds(&a, rel[i].version))
			r = hp_reader_distrust(im->reader, &verb, err, "relocation %zu has no name", i);
	if (r < 0)
		hp_told_free(&a);
	else
		*ret = a;
	return r;
}
