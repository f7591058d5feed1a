/* SPDX-License-Identifier: MIT */
/*
 * gcc and clang describe a function that was inlined by an abstract instance, to which its own body
 * and each copy refer (DWARF 5, 3.3.8).  A body without one was inlined nowhere.
 */
#include "elf/inlined.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "elf/image.h"

#define DEPTH_MAX 64

struct search {
	struct hp_inlined *ret;
	Dwarf_Off origin; /* of the abstract instance */
};

static bool origin_of(Dwarf_Die *die, Dwarf_Off *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die to;

	if (!dwarf_attr(die, DW_AT_abstract_origin, &attr) || !dwarf_formref_die(&attr, &to))
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
			name = dwarf_lowpc(&child, &low) == 0 ? dwarf_diename(&child) : NULL;
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

void hp_inlined_find(struct hp_inlined *ret, const struct hp_image *im,
		     const struct hp_image *debug, uint64_t vaddr)
{
	Dwarf *dwarf = dwarf_begin_elf(debug ? debug->elf : im->elf, DWARF_C_READ, NULL);
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
