/* SPDX-License-Identifier: MIT */
/*
 * One array sorted by (value, name), so that what two tables say of one thing comes together and is
 * merged; a hash of the names whose chains follow the array's order, so that equal values are
 * neighbours there too.  Every step is at most n log n, whatever the file says.
 */
#include "elf/symtab.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/section.h"
#include "hp/err.h"

#define NONE UINT32_MAX

struct hp_symtab {
	HP_ARRAY(struct hp_sym) syms;
	HP_ARRAY(char *) owned; /* names that had to be cut out of "name@@VERSION" */
	uint32_t *head, *next; /* chains of the hash, ascending */
	uint32_t mask;
	uint32_t *func; /* functions, ascending by value */
	uint64_t *reach; /* the highest end of the functions up to this one */
	size_t n_funcs;
};

static bool is_function(const struct hp_sym *s)
{
	return s->type == STT_FUNC || s->type == STT_GNU_IFUNC;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* False for what names no place, and for functions that are not where code is. */
static bool has_place(const struct hp_image *im, const Elf64_Sym *e)
{
	uint8_t type = ELF64_ST_TYPE(e->st_info);
	const Elf64_Phdr *p;

	if (e->st_shndx == SHN_UNDEF || e->st_shndx == SHN_ABS || e->st_shndx == SHN_COMMON ||
	    type == STT_SECTION || type == STT_FILE)
		return false;
	if (type != STT_FUNC && type != STT_GNU_IFUNC)
		return true;
	p = hp_image_segment(im, e->st_value);
	return p && (p->p_flags & PF_X) && e->st_size <= p->p_memsz - (e->st_value - p->p_vaddr);
}

/* In .symtab a version is a part of the name. */
static int split_version(struct hp_symtab *st, struct hp_sym *s)
{
	const char *at = strchr(s->name, '@');
	char *name, **slot;

	if (!at || at == s->name)
		return 0;
	name = strndup(s->name, (size_t)(at - s->name));
	slot = name ? HP_ARRAY_ADD(&st->owned) : NULL;
	if (!slot) {
		free(name);
		return -ENOMEM;
	}
	*slot = name;
	s->name = name;
	s->hidden_version = at[1] != '@';
	s->version = at + (s->hidden_version ? 1 : 2);
	return 0;
}

static int add(struct hp_symtab *st, const struct hp_sym *s)
{
	struct hp_sym *slot;

	if (st->syms.n >= NONE)
		return -EFBIG;
	slot = HP_ARRAY_ADD(&st->syms);
	if (!slot)
		return -ENOMEM;
	*slot = *s;
	return s->dynamic ? 0 : split_version(st, slot);
}

static int read_dynamic(struct hp_symtab *st, const struct hp_image *im, struct hp_err *err)
{
	struct hp_dynsym d;
	size_t n;
	int r;

	r = hp_dynsym_open(&d, im, err);
	if (r)
		return r;
	n = hp_dynsym_count(&d);
	for (size_t i = 1; i < n && !r; i++) {
		struct hp_sym s = {.dynamic = true};
		Elf64_Sym e;

		if (!hp_dynsym_at(&d, i, &e, &s.name, &s.version, &s.hidden_version) ||
		    !*s.name || !has_place(im, &e))
			continue;
		s.value = e.st_value;
		s.size = e.st_size;
		s.type = ELF64_ST_TYPE(e.st_info);
		s.bind = ELF64_ST_BIND(e.st_info);
		r = add(st, &s);
	}
	hp_dynsym_close(&d);
	return r ? hp_err_sys(err, -r, "%s: reading its symbols", im->name) : 0;
}

/* The string table of @symtab, whose last byte is NUL; NULL if there is none. */
static const char *strings_of(const struct hp_image *file, const struct hp_section *symtab,
			      size_t *size)
{
	struct hp_section s;

	if (!hp_section_at(file, symtab->header.sh_link, &s) || !s.bytes ||
	    s.header.sh_type != SHT_STRTAB || !s.header.sh_size ||
	    s.bytes[s.header.sh_size - 1])
		return NULL;
	*size = s.header.sh_size;
	return (const char *)s.bytes;
}

static int read_section(struct hp_symtab *st, const struct hp_image *im,
			const struct hp_image *file, struct hp_err *err)
{
	const char *strings, *source = NULL;
	struct hp_section symtab;
	size_t n_strings, n;

	if (!hp_section_of_type(file, SHT_SYMTAB, &symtab) || !symtab.bytes)
		return 0;
	strings = strings_of(file, &symtab, &n_strings);
	if (!strings || symtab.header.sh_entsize != sizeof(Elf64_Sym))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: its symbol table lies about its %s",
				  file->name, strings ? "entries" : "strings");
	n = symtab.header.sh_size / sizeof(Elf64_Sym);
	for (size_t i = 1; i < n; i++) {
		struct hp_sym s = {0};
		Elf64_Sym e;
		int r;

		memcpy(&e, symtab.bytes + i * sizeof(e), sizeof(e));
		if (e.st_name >= n_strings)
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: the name of symbol %zu lies outside its strings",
					  file->name, i);
		s.name = strings + e.st_name;
		s.bind = ELF64_ST_BIND(e.st_info);
		s.type = ELF64_ST_TYPE(e.st_info);
		s.value = e.st_value;
		s.size = e.st_size;
		if (s.type == STT_FILE)
			source = *s.name ? s.name : NULL;
		if (!*s.name || !has_place(im, &e))
			continue;
		s.file = s.bind == STB_LOCAL ? source : NULL;
		r = add(st, &s);
		if (r)
			return hp_err_sys(err, -r, "%s: reading its symbols", file->name);
	}
	return 0;
}

/* --- one array ---------------------------------------------------------------------------------- */

/* NULL comes first. */
static int compare_text(const char *a, const char *b)
{
	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	return strcmp(a, b);
}

static int compare(const void *pa, const void *pb)
{
	const struct hp_sym *a = pa, *b = pb;
	int r;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	r = strcmp(a->name, b->name);
	if (!r)
		r = (a->type == STT_TLS) - (b->type == STT_TLS);
	if (!r)
		r = compare_text(a->file, b->file);
	/* The default version before the hidden ones: it speaks for the definition. */
	if (!r)
		r = (int)a->hidden_version - (int)b->hidden_version;
	if (!r)
		r = compare_text(a->version, b->version);
	return r;
}

static bool agree(const char *a, const char *b)
{
	return !a || !b || !strcmp(a, b);
}

static bool same_thing(const struct hp_sym *a, const struct hp_sym *b)
{
	return a->value == b->value && (a->type == STT_TLS) == (b->type == STT_TLS) &&
	       !strcmp(a->name, b->name) && agree(a->file, b->file) &&
	       agree(a->version, b->version);
}

static void merge_into(struct hp_sym *a, const struct hp_sym *b)
{
	if (!a->version && b->version) {
		a->version = b->version;
		a->hidden_version = b->hidden_version;
	}
	if (!a->file)
		a->file = b->file;
	if (!a->size)
		a->size = b->size;
	if (a->type == STT_NOTYPE)
		a->type = b->type;
	/* A hidden symbol is local in .symtab; what a loader sees counts more. */
	if (b->dynamic && !a->dynamic)
		a->bind = b->bind;
	a->dynamic |= b->dynamic;
}

static void sort_and_merge(struct hp_symtab *st)
{
	struct hp_sym *v = st->syms.v;
	size_t kept = 0;

	if (!st->syms.n)
		return;
	qsort(v, st->syms.n, sizeof(*v), compare);
	for (size_t i = 1; i < st->syms.n; i++) {
		if (same_thing(&v[kept], &v[i]))
			merge_into(&v[kept], &v[i]);
		else
			v[++kept] = v[i];
	}
	st->syms.n = kept + 1;
}

/* FNV-1a. */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 16777619u;
	return h;
}

static int index_names(struct hp_symtab *st)
{
	size_t n = 16;

	while (n < st->syms.n)
		n *= 2;
	st->mask = (uint32_t)(n - 1);
	st->head = malloc(n * sizeof(*st->head));
	st->next = malloc((st->syms.n + 1) * sizeof(*st->next));
	if (!st->head || !st->next)
		return -ENOMEM;
	memset(st->head, 0xff, n * sizeof(*st->head));
	for (size_t i = st->syms.n; i-- > 0;) {
		uint32_t *head = &st->head[hash(st->syms.v[i].name) & st->mask];

		st->next[i] = *head;
		*head = (uint32_t)i;
	}
	return 0;
}

static int index_functions(struct hp_symtab *st)
{
	uint64_t reach = 0;

	st->func = malloc((st->syms.n + 1) * sizeof(*st->func));
	st->reach = malloc((st->syms.n + 1) * sizeof(*st->reach));
	if (!st->func || !st->reach)
		return -ENOMEM;
	for (size_t i = 0; i < st->syms.n; i++) {
		const struct hp_sym *s = &st->syms.v[i];

		if (!is_function(s))
			continue;
		if (s->value + s->size > reach)
			reach = s->value + s->size;
		st->func[st->n_funcs] = (uint32_t)i;
		st->reach[st->n_funcs++] = reach;
	}
	return 0;
}

int hp_symtab_load(struct hp_symtab **ret, const struct hp_image *im, const struct hp_image *debug,
		   struct hp_err *err)
{
	struct hp_symtab *st = calloc(1, sizeof(*st));
	int r;

	if (!st)
		return hp_err_sys(err, ENOMEM, "%s: reading its symbols", im->name);
	r = read_dynamic(st, im, err);
	if (!r)
		r = read_section(st, im, im, err);
	if (!r && debug)
		r = read_section(st, im, debug, err);
	if (r) {
		hp_symtab_free(st);
		return r;
	}
	sort_and_merge(st);
	if (index_names(st) || index_functions(st)) {
		hp_symtab_free(st);
		return hp_err_sys(err, ENOMEM, "%s: reading its symbols", im->name);
	}
	*ret = st;
	return 0;
}

void hp_symtab_free(struct hp_symtab *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->owned.n; i++)
		free(st->owned.v[i]);
	HP_ARRAY_FREE(&st->owned);
	HP_ARRAY_FREE(&st->syms);
	free(st->head);
	free(st->next);
	free(st->func);
	free(st->reach);
	free(st);
}

/* --- look-up ------------------------------------------------------------------------------------ */

static uint32_t first_of(const struct hp_symtab *st, const char *name)
{
	return st->head[hash(name) & st->mask];
}

static bool file_matches(const struct hp_sym *s, const char *file)
{
	size_t have, want;

	if (!file)
		return true;
	if (!s->file)
		return false;
	have = strlen(s->file);
	want = strlen(file);
	if (have < want || strcmp(s->file + have - want, file))
		return false;
	return have == want || s->file[have - want - 1] == '/';
}

size_t hp_symtab_find(const struct hp_symtab *st, const char *name, const char *file,
		      const struct hp_sym **out, size_t max)
{
	const struct hp_sym *last = NULL;
	size_t n = 0;

	for (uint32_t i = first_of(st, name); i != NONE; i = st->next[i]) {
		const struct hp_sym *s = &st->syms.v[i];

		if (strcmp(s->name, name) || !file_matches(s, file))
			continue;
		if (last && last->value == s->value &&
		    (last->type == STT_TLS) == (s->type == STT_TLS))
			continue;
		if (n < max)
			out[n] = s;
		n++;
		last = s;
	}
	return n;
}

const struct hp_sym *hp_symtab_find_version(const struct hp_symtab *st, const char *name,
					    const char *version)
{
	const struct hp_sym *unversioned = NULL;

	for (uint32_t i = first_of(st, name); i != NONE; i = st->next[i]) {
		const struct hp_sym *s = &st->syms.v[i];

		if (!s->dynamic || s->bind == STB_LOCAL || strcmp(s->name, name))
			continue;
		if (!s->version)
			unversioned = s;
		else if (version ? !strcmp(s->version, version) : !s->hidden_version)
			return s;
	}
	return unversioned;
}

const struct hp_sym *hp_symtab_func_at(const struct hp_symtab *st, uint64_t vaddr)
{
	size_t lo = 0, hi = st->n_funcs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (st->syms.v[st->func[mid]].value <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* The nearest start that covers it; below a reach that ends earlier nothing does. */
	while (lo-- > 0 && st->reach[lo] > vaddr) {
		const struct hp_sym *s = &st->syms.v[st->func[lo]];

		if (vaddr - s->value < s->size)
			return s;
	}
	return NULL;
}

/* The first symbol whose value is not below @value. */
static size_t lower_bound(const struct hp_symtab *st, uint64_t value)
{
	size_t lo = 0, hi = st->syms.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (st->syms.v[mid].value < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t hp_symtab_aliases(const struct hp_symtab *st, uint64_t vaddr, const struct hp_sym **out,
			 size_t max)
{
	const struct hp_sym *v = st->syms.v;
	size_t n = 0;

	for (size_t i = lower_bound(st, vaddr); i < st->syms.n && v[i].value == vaddr; i++) {
		if (!is_function(&v[i]) || (i && v[i - 1].value == vaddr &&
					    is_function(&v[i - 1]) &&
					    !strcmp(v[i - 1].name, v[i].name)))
			continue; /* another version of the same name */
		if (n < max)
			out[n] = &v[i];
		n++;
	}
	return n;
}

size_t hp_symtab_prefix(const struct hp_symtab *st, const char *prefix, const struct hp_sym **out,
			size_t max)
{
	size_t len = strlen(prefix), n = 0;

	for (size_t i = 0; i < st->syms.n; i++) {
		if (strncmp(st->syms.v[i].name, prefix, len))
			continue;
		if (n < max)
			out[n] = &st->syms.v[i];
		n++;
	}
	return n;
}

size_t hp_symtab_all(const struct hp_symtab *st, const struct hp_sym **ret)
{
	*ret = st->syms.v;
	return st->syms.n;
}
