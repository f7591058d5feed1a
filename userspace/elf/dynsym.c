/* SPDX-License-Identifier: MIT */
/*
 * The dynamic symbol table has no length of its own: the hash tables tell it, and each symbol that
 * is asked for is checked by itself.
 */
#include "elf/dynsym.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "hp/err.h"

/* The bits of a .gnu.version entry that are an index; the 16th says "hidden". */
#define VERSION_INDEX  0x7fff
#define VERSION_HIDDEN 0x8000
#define MAX_VERSIONS   (VERSION_INDEX + 1)

static int bad_versions(const struct hp_image *im, const char *which, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_BAD_ELF, "%s: its symbol version %s lie", im->name, which);
}

static int set_version(struct hp_dynsym *d, size_t index, const char *name)
{
	if (index >= d->n_versions) {
		const char **more = reallocarray(d->version, index + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		memset(more + d->n_versions, 0, (index + 1 - d->n_versions) * sizeof(*more));
		d->version = more;
		d->n_versions = index + 1;
	}
	d->version[index] = name;
	return 0;
}

static int read_definitions(struct hp_dynsym *d, struct hp_err *err)
{
	const struct hp_image *im = d->im;
	uint64_t at, n;

	if (!hp_image_dynamic(im, DT_VERDEF, &at) || !hp_image_dynamic(im, DT_VERDEFNUM, &n))
		return 0;
	if (n > MAX_VERSIONS)
		return bad_versions(im, "definitions", err);
	while (n--) {
		const uint8_t *p = hp_image_at(im, at, sizeof(Elf64_Verdef)), *q;
		const char *name;
		Elf64_Verdaux aux;
		Elf64_Verdef def;

		if (!p)
			return bad_versions(im, "definitions", err);
		memcpy(&def, p, sizeof(def));
		q = hp_image_at(im, at + def.vd_aux, sizeof(aux));
		if (!q || def.vd_ndx > VERSION_INDEX)
			return bad_versions(im, "definitions", err);
		memcpy(&aux, q, sizeof(aux));
		name = hp_image_dynstr(im, aux.vda_name);
		if (!name)
			return bad_versions(im, "definitions", err);
		/* The base definition is the file's own name, not a version of anything. */
		if (!(def.vd_flags & VER_FLG_BASE) && set_version(d, def.vd_ndx, name))
			return hp_err_sys(err, ENOMEM, "%s", im->name);
		if (!def.vd_next)
			return 0;
		at += def.vd_next;
	}
	return 0;
}

/* @budget bounds the entries of all files together: chains may lead back and forth. */
static int read_need(struct hp_dynsym *d, uint64_t at, unsigned n, unsigned *budget,
		     struct hp_err *err)
{
	const struct hp_image *im = d->im;

	while (n--) {
		const uint8_t *p = hp_image_at(im, at, sizeof(Elf64_Vernaux));
		const char *name;
		Elf64_Vernaux aux;

		if (!p || !*budget)
			return bad_versions(im, "needs", err);
		memcpy(&aux, p, sizeof(aux));
		(*budget)--;
		name = hp_image_dynstr(im, aux.vna_name);
		if (!name)
			return bad_versions(im, "needs", err);
		if (set_version(d, aux.vna_other & VERSION_INDEX, name))
			return hp_err_sys(err, ENOMEM, "%s", im->name);
		if (!aux.vna_next)
			return 0;
		at += aux.vna_next;
	}
	return 0;
}

static int read_needs(struct hp_dynsym *d, struct hp_err *err)
{
	const struct hp_image *im = d->im;
	unsigned budget = MAX_VERSIONS;
	uint64_t at, n;

	if (!hp_image_dynamic(im, DT_VERNEED, &at) || !hp_image_dynamic(im, DT_VERNEEDNUM, &n))
		return 0;
	if (n > MAX_VERSIONS)
		return bad_versions(im, "needs", err);
	while (n--) {
		const uint8_t *p = hp_image_at(im, at, sizeof(Elf64_Verneed));
		Elf64_Verneed need;
		int r;

		if (!p)
			return bad_versions(im, "needs", err);
		memcpy(&need, p, sizeof(need));
		r = read_need(d, at + need.vn_aux, need.vn_cnt, &budget, err);
		if (r)
			return r;
		if (!need.vn_next)
			return 0;
		at += need.vn_next;
	}
	return 0;
}

int hp_dynsym_open(struct hp_dynsym *ret, const struct hp_image *im, struct hp_err *err)
{
	struct hp_dynsym d = {.im = im};
	uint64_t entry = sizeof(Elf64_Sym), versym;
	int r;

	if (!hp_image_dynamic(im, DT_SYMTAB, &d.symtab)) {
		*ret = d;
		return 0;
	}
	hp_image_dynamic(im, DT_SYMENT, &entry);
	if (entry != sizeof(Elf64_Sym) || !hp_image_at(im, d.symtab, sizeof(Elf64_Sym)))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: its dynamic symbol table (0x%jx) lies",
				  im->name, (uintmax_t)d.symtab);
	r = read_definitions(&d, err);
	if (!r)
		r = read_needs(&d, err);
	if (!r && d.version && hp_image_dynamic(im, DT_VERSYM, &versym)) {
		d.n_versym = hp_image_left(im, versym) / sizeof(Elf64_Versym);
		d.versym = hp_image_at(im, versym, d.n_versym * sizeof(Elf64_Versym));
	}
	if (r) {
		hp_dynsym_close(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void hp_dynsym_close(struct hp_dynsym *d)
{
	free(d->version);
	d->version = NULL;
}

static bool word_at(const struct hp_image *im, uint64_t vaddr, uint32_t *ret)
{
	const uint8_t *p = hp_image_at(im, vaddr, sizeof(*ret));

	if (p)
		memcpy(ret, p, sizeof(*ret));
	return p != NULL;
}

/* The DT_GNU_HASH table ends its last chain with a word whose lowest bit is set. */
static size_t count_by_gnu_hash(const struct hp_image *im, uint64_t table)
{
	uint32_t n_buckets, first, n_bloom, last = 0, hash;
	uint64_t buckets, chains;

	if (!word_at(im, table, &n_buckets) || !word_at(im, table + 4, &first) ||
	    !word_at(im, table + 8, &n_bloom))
		return 0;
	buckets = table + 16 + (uint64_t)n_bloom * 8;
	chains = buckets + (uint64_t)n_buckets * 4;
	for (uint32_t i = 0; i < n_buckets; i++) {
		uint32_t head;

		if (!word_at(im, buckets + (uint64_t)i * 4, &head))
			return 0;
		if (head > last)
			last = head;
	}
	if (last < first)
		return first;
	do {
		if (!word_at(im, chains + (uint64_t)(last - first) * 4, &hash))
			return last;
		last++;
	} while (!(hash & 1));
	return last;
}

size_t hp_dynsym_count(const struct hp_dynsym *d)
{
	const struct hp_image *im = d->im;
	uint64_t table;
	uint32_t n = 0;
	size_t room;

	if (!d->symtab)
		return 0;
	room = hp_image_left(im, d->symtab) / sizeof(Elf64_Sym);
	if (hp_image_dynamic(im, DT_HASH, &table) && word_at(im, table + 4, &n))
		return n < room ? n : room;
	if (hp_image_dynamic(im, DT_GNU_HASH, &table)) {
		size_t k = count_by_gnu_hash(im, table);

		return k < room ? k : room;
	}
	return 0;
}

bool hp_dynsym_at(const struct hp_dynsym *d, size_t i, Elf64_Sym *ret, const char **name,
		  const char **version, bool *hidden)
{
	const uint8_t *p;
	Elf64_Versym v = VER_NDX_GLOBAL;
	const char *s;
	Elf64_Sym sym;

	if (!d->symtab || i > UINT32_MAX)
		return false;
	p = hp_image_at(d->im, d->symtab + i * sizeof(sym), sizeof(sym));
	if (!p)
		return false;
	memcpy(&sym, p, sizeof(sym));
	s = sym.st_name ? hp_image_dynstr(d->im, sym.st_name) : "";
	if (!s)
		return false;
	if (i < d->n_versym)
		memcpy(&v, d->versym + i * sizeof(v), sizeof(v));
	*ret = sym;
	*name = s;
	*version = (v & VERSION_INDEX) < d->n_versions ? d->version[v & VERSION_INDEX] : NULL;
	*hidden = *version && (v & VERSION_HIDDEN);
	return true;
}

bool hp_dynsym_has_place(const struct hp_image *im, const Elf64_Sym *e)
{
	uint8_t type = ELF64_ST_TYPE(e->st_info);

	if (e->st_shndx == SHN_UNDEF || e->st_shndx == SHN_ABS || e->st_shndx == SHN_COMMON ||
	    type == STT_SECTION || type == STT_FILE)
		return false;
	if (type != STT_FUNC && type != STT_GNU_IFUNC)
		return true;
	return hp_image_is_code(im, e->st_value, e->st_size);
}

struct wanted {
	const char *name, *version;
	bool found; /* a definition without a version so far */
	Elf64_Sym sym;
};

/* True: the @i-th symbol is the one, and no other can be. */
static bool is_wanted(const struct hp_dynsym *d, size_t i, struct wanted *w)
{
	const char *name, *version;
	Elf64_Sym e;
	bool hidden;

	if (!hp_dynsym_at(d, i, &e, &name, &version, &hidden) || strcmp(name, w->name) ||
	    ELF64_ST_BIND(e.st_info) == STB_LOCAL || !hp_dynsym_has_place(d->im, &e))
		return false;
	if (version && (w->version ? strcmp(version, w->version) != 0 : hidden))
		return false;
	w->found = true;
	w->sym = e;
	return version != NULL;
}

/* Of the file format, so not to be changed (Bernstein's, times 33). */
static uint32_t gnu_hash(const char *s)
{
	uint32_t h = 5381;

	while (*s)
		h = h * 33 + (uint8_t)*s++;
	return h;
}

static void find_by_gnu_hash(const struct hp_dynsym *d, uint64_t table, size_t n, struct wanted *w)
{
	uint32_t n_buckets, first, n_bloom, i, have = 0, want = gnu_hash(w->name);
	const struct hp_image *im = d->im;
	uint64_t buckets, chains;

	if (!word_at(im, table, &n_buckets) || !word_at(im, table + 4, &first) ||
	    !word_at(im, table + 8, &n_bloom) || !n_buckets)
		return;
	buckets = table + 16 + (uint64_t)n_bloom * 8;
	chains = buckets + (uint64_t)n_buckets * 4;
	if (!word_at(im, buckets + (uint64_t)(want % n_buckets) * 4, &i) || i < first)
		return;
	for (; i < n && !(have & 1); i++)
		if (!word_at(im, chains + (uint64_t)(i - first) * 4, &have) ||
		    ((have ^ want) <= 1 && is_wanted(d, i, w)))
			return;
}

bool hp_dynsym_find(const struct hp_dynsym *d, const char *name, const char *version,
		    Elf64_Sym *ret)
{
	struct wanted w = {.name = name, .version = version};
	uint64_t table;

	if (!d->symtab)
		return false;
	if (hp_image_dynamic(d->im, DT_GNU_HASH, &table)) {
		find_by_gnu_hash(d, table, hp_image_left(d->im, d->symtab) / sizeof(Elf64_Sym), &w);
	} else {
		size_t n = hp_dynsym_count(d);

		for (size_t i = 1; i < n && !is_wanted(d, i, &w); i++)
			;
	}
	if (w.found)
		*ret = w.sym;
	return w.found;
}
