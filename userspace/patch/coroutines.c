/* SPDX-License-Identifier: MIT */
/*
 * A suspended coroutine's stack belongs to no thread, so that no look finds a call that sleeps in it.
 * That a program may have such stacks is told by what it is linked with.
 */
#include "patch/coroutines.h"

#include <stdio.h>
#include <string.h>

#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "target/module.h"
#include "target/target.h"

static const char *const switches[] = {
	"swapcontext",			  /* libc's */
	"jump_fcontext", "ontop_fcontext", /* Boost.Context's */
	"co_switch", "coro_transfer",	  /* libco's, libcoro's */
};
#define LIBC_SWITCHES 1
#define N_SWITCHES (sizeof(switches) / sizeof(switches[0]))

static const char *imported(const struct hp_image *im)
{
	size_t k;

	return hp_dynsym_imports(im, switches, N_SWITCHES, &k, NULL) == 1 ? switches[k] : NULL;
}

/* The program is linked statically, or has its own. */
static const char *contained(struct hp_module *m)
{
	const struct hp_symtab *st;
	const struct hp_sym *s;

	if (hp_module_symtab(m, &st, NULL) < 0)
		return NULL;
	for (size_t k = 0; k < N_SWITCHES; k++)
		if (hp_symtab_find(st, switches[k], NULL, &s, 1))
			return switches[k];
	return NULL;
}

static const char *exported(const struct hp_image *im)
{
	Elf64_Sym e;

	for (size_t k = LIBC_SWITCHES; k < N_SWITCHES; k++)
		if (hp_dynsym_resolve(im, switches[k], NULL, &e, NULL) == 1)
			return switches[k];
	return NULL;
}

/* All names of the program's are looked at, of libraries those that are hashed. */
static const char *switch_of(struct hp_module *m)
{
	if (!m->exe)
		return exported(m->image);
	return imported(m->image) ?: contained(m);
}

bool hp_coroutines(struct hp_target *t, char *text, size_t n)
{
	for (size_t i = 0; i < t->n_modules; i++) {
		struct hp_module *m = &t->module[i];
		const char *name = hp_module_is_of_hp(m) ? NULL : switch_of(m);

		if (!name)
			continue;
		(void)snprintf(text, n,
			       "%.100s has coroutines (%s): a call in one that is suspended is not seen, "
			       "and goes on in old code when it is resumed",
			       m->name, name);
		return true;
	}
	return false;
}
