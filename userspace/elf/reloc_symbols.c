/* SPDX-License-Identifier: MIT */
/*
 * The list of relocations, and which symbols of other files are in it: whoever finds them wants to
 * have all of them at once.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "elf/reloc_list.h"
#include "hp/err.h"

bool hp_reloc_is_symbolic(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_PC64:
	case R_X86_64_32:
	case R_X86_64_32S:
	case R_X86_64_PC32:
		return true;
	}
	return false;
}

/* One definition for the whole process, wherever it is: COMDAT (inline functions, vtables, type
 * info) and GNU_UNIQUE (their static variables).  Anything else that a patch defines it means. */
static bool is_shared(const struct hp_reloc *rel)
{
	return (rel->sym_bind == STB_WEAK || rel->sym_bind == STB_GNU_UNIQUE) &&
	       (rel->flags & HP_RELOC_VISIBLE);
}

static bool is_looked_up(const struct hp_reloc *rel)
{
	if (rel->name == HP_RELOC_NO_TEXT ||
	    (rel->type != R_X86_64_TPOFF64 && !hp_reloc_is_symbolic(rel->type)))
		return false;
	return !(rel->flags & HP_RELOC_DEFINED) ||
	       (rel->sym_type != STT_TLS && is_shared(rel));
}

static struct hp_reloc_sym symbol_of(const struct hp_told *list, const struct hp_reloc *rel)
{
	bool defined = rel->flags & HP_RELOC_DEFINED;

	return (struct hp_reloc_sym){
		.name = hp_told_string(list, rel->name),
		.version = hp_told_string(list, rel->version),
		.defined = defined,
		.weak = rel->sym_bind == STB_WEAK,
		.type = rel->sym_type,
		.bind = rel->sym_bind,
		.value = defined ? rel->value : 0,
		.size = rel->size,
	};
}

static int order(const struct hp_told *list, const struct hp_reloc *a, const struct hp_reloc *b)
{
	const char *va = hp_told_string(list, a->version), *vb = hp_told_string(list, b->version);
	int c = strcmp(hp_told_string(list, a->name), hp_told_string(list, b->name));

	if (!c)
		c = strcmp(va ? va : "", vb ? vb : "");
	if (!c)
		c = !va - !vb;
	if (!c)
		c = a->sym_bind - b->sym_bind;
	if (!c)
		c = a->sym_type - b->sym_type;
	return c ? c : a->flags - b->flags;
}

static int by_symbol(const void *a, const void *b, void *arg)
{
	const struct hp_told *list = arg;
	const struct hp_reloc *rel = list->record;

	return order(list, &rel[*(const uint32_t *)a], &rel[*(const uint32_t *)b]);
}

/* @at: the relocations that look something up, equal symbols side by side. */
static void number(struct hp_relocs *rs, const uint32_t *at, size_t n)
{
	const struct hp_reloc *rel = rs->list.record;

	for (size_t i = 0; i < n; i++) {
		struct hp_reloc_sym *s = &rs->sym[rs->n_syms];

		if (!i || order(&rs->list, &rel[at[i - 1]], &rel[at[i]])) {
			*s = symbol_of(&rs->list, &rel[at[i]]);
			s->index = rs->n_syms++;
		}
		rs->sym_of[at[i]] = (uint32_t)rs->n_syms - 1;
	}
}

static int collect(struct hp_relocs *rs, struct hp_err *err)
{
	uint32_t *at = calloc(rs->list.n + 1, sizeof(*at));
	const struct hp_reloc *rel = rs->list.record;
	size_t n = 0;

	rs->sym_of = calloc(rs->list.n + 1, sizeof(*rs->sym_of));
	if (!at || !rs->sym_of)
		goto no_memory;
	for (size_t i = 0; i < rs->list.n; i++) {
		rs->sym_of[i] = HP_RELOC_NO_SYM;
		if (is_looked_up(&rel[i]))
			at[n++] = (uint32_t)i;
	}
	rs->sym = calloc(n + 1, sizeof(*rs->sym));
	if (!rs->sym)
		goto no_memory;
	qsort_r(at, n, sizeof(*at), by_symbol, &rs->list);
	number(rs, at, n);
	free(at);
	return 0;
no_memory:
	free(at);
	return hp_err_sys(err, ENOMEM, "%s: relocations", rs->im->name);
}

int hp_relocs_open(struct hp_relocs **ret, const struct hp_image *im, struct hp_err *err)
{
	struct hp_relocs *rs = calloc(1, sizeof(*rs));
	int r;

	if (!rs)
		return hp_err_sys(err, ENOMEM, "%s: relocations", im->name);
	rs->im = im;
	r = hp_reloc_list(im, &rs->list, err);
	if (r >= 0)
		r = collect(rs, err);
	if (r < 0)
		hp_relocs_free(rs);
	else
		*ret = rs;
	return r;
}

void hp_relocs_free(struct hp_relocs *rs)
{
	if (!rs)
		return;
	hp_told_free(&rs->list);
	free(rs->sym);
	free(rs->sym_of);
	free(rs);
}

size_t hp_relocs_symbols(const struct hp_relocs *rs, const struct hp_reloc_sym **ret)
{
	*ret = rs->sym;
	return rs->n_syms;
}
