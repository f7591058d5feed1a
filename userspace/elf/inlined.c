/* SPDX-License-Identifier: MIT */
/*
 * gcc and clang describe a function that was inlined by an abstract instance, to which its own body
 * and each copy refer (DWARF 5, 3.3.8).  A body without one was inlined nowhere.
 */
#include "elf/inlined.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

#define DEPTH_MAX 64

struct search {
	struct hp_inlined *ret;
	Dwarf_Off origin; /* of the abstract instance */
};

/* In a file of dwz's, which libdw would open by the name that this one gives. */
static bool is_elsewhere(Dwarf_Attribute *attr)
{
	unsigned form = dwarf_whatform(attr);

	return form == DW_FORM_GNU_ref_alt || form == DW_FORM_GNU_strp_alt ||
	       form == DW_FORM_ref_sup4 || form == DW_FORM_ref_sup8 || form == DW_FORM_strp_sup;
}

static bool origin_of(Dwarf_Die *die, Dwarf_Off *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die to;

	if (!dwarf_attr(die, DW_AT_abstract_origin, &attr) || is_elsewhere(&attr) ||
	    !dwarf_formref_die(&attr, &to))
		return false;
	*ret = dwarf_dieoffset(&to);
	return true;
}

static void add(struct hp_inlined *ret, const char *name)
{
	size_t last = ret->n < HP_INLINED_MAX ? ret->n : HP_INLINED_MAX;

	for (size_t i = 0; i < last; i++)
		if (!strncmp(ret->into[i], name, sizeof(ret->into[i]) - 1))
			return;
	if (ret->n < HP_INLINED_MAX)
		snprintf(ret->into[ret->n], sizeof(ret->into[0]), "%s", name);
	ret->n++;
}

/* The name of a function with code, which may be that of its abstract instance or declaration. */
static const char *name_of(Dwarf_Die *die, unsigned depth)
{
	static const unsigned to[] = {DW_AT_abstract_origin, DW_AT_specification};
	Dwarf_Attribute attr;
	Dwarf_Die other;

	if (dwarf_attr(die, DW_AT_name, &attr))
		return is_elsewhere(&attr) ? NULL : dwarf_formstring(&attr);
	for (size_t i = 0; depth < DEPTH_MAX && i < sizeof(to) / sizeof(to[0]); i++)
		if (dwarf_attr(die, to[i], &attr) && !is_elsewhere(&attr) &&
		    dwarf_formref_die(&attr, &other))
			return name_of(&other, depth + 1);
	return NULL;
}

/* @into: the function whose code we are in, NULL outside of any. */
static void walk(struct search *s, Dwarf_Die *die, const char *into, unsigned depth)
{
	Dwarf_Die child;
	Dwarf_Off origin;

	if (depth > DEPTH_MAX || dwarf_child(die, &child) != 0)
		return;
	do {
		int tag = dwarf_tag(&child);
		const char *name = into;
		Dwarf_Addr low;

		if (tag == DW_TAG_subprogram)
			name = dwarf_lowpc(&child, &low) == 0 ? name_of(&child, 0) : NULL;
		if (tag == DW_TAG_inlined_subroutine && into && origin_of(&child, &origin) &&
		    origin == s->origin)
			add(s->ret, into);
		if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
		    tag == DW_TAG_lexical_block || tag == DW_TAG_namespace)
			walk(s, &child, name, depth + 1);
	} while (dwarf_siblingof(&child, &child) == 0);
}

/* The abstract instance of the body at @vaddr. */
static bool abstract_instance(Dwarf_Die *cu, uint64_t vaddr, unsigned depth, Dwarf_Off *ret)
{
	Dwarf_Die die;

	if (depth > DEPTH_MAX || dwarf_child(cu, &die) != 0)
		return false;
	do {
		int tag = dwarf_tag(&die);
		Dwarf_Addr low;

		if (tag == DW_TAG_subprogram && dwarf_lowpc(&die, &low) == 0 && low == vaddr)
			return origin_of(&die, ret);
		if (tag == DW_TAG_namespace && abstract_instance(&die, vaddr, depth + 1, ret))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static void find(struct hp_inlined *ret, const struct hp_image *im, uint64_t vaddr)
{
	Dwarf *dwarf = dwarf_begin_elf(hp_image_elf(im), DWARF_C_READ, NULL);
	struct search s = {.ret = ret};
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	bool found = false;

	*ret = (struct hp_inlined){0};
	while (dwarf && !found && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0)
		found = abstract_instance(&die, vaddr, 0, &s.origin);
	for (cu = NULL; found && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0;)
		walk(&s, &die, NULL, 0);
	dwarf_end(dwarf); /* NULL is harmless */
}

/* --- asked and told ----------------------------------------------------------------------------- */

static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct hp_inlined *slot = hp_reply_add(reply);

	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: its debug information", q->im->name);
	find(slot, q->debug ? q->debug : q->im, q->number);
	return 0;
}

static const struct hp_verb verb = {
	.what = "debug information",
	.record_size = sizeof(struct hp_inlined),
	.max_records = 1,
	.answer = answer,
};

static bool holds(const struct hp_told *a)
{
	const struct hp_inlined *in = a->record;

	for (size_t i = 0; a->n == 1 && i < HP_INLINED_MAX; i++)
		if (!memchr(in->into[i], 0, sizeof(in->into[i])))
			return false;
	return a->n == 1;
}

int hp_inlined_find(struct hp_inlined *ret, const struct hp_image *im,
		    const struct hp_image *debug, uint64_t vaddr, struct hp_err *err)
{
	const struct hp_question q = {.verb = &verb, .im = im, .debug = debug, .number = vaddr};
	struct hp_reader *reader = hp_reader_of(im);
	struct hp_told a;
	int r = hp_reader_ask(reader, &q, &a, err);

	if (r < 0)
		return r;
	if (holds(&a))
		memcpy(ret, a.record, sizeof(*ret));
	else
		r = hp_reader_distrust(reader, &verb, err, "a name without an end");
	hp_told_free(&a);
	return r;
}
