/* SPDX-License-Identifier: MIT */
/*
 * A suspended coroutine's stack belongs to no thread, so that no look finds a call that sleeps in it.
 * That a program may have such stacks is told by what it is linked with.
 */
#include "patch/coroutines.h"

#include <stdio.h>
#include <stdlib.h>

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

/* Of libraries those that are hashed: one question for all of them. */
static const char *in_libraries(const struct hp_target *t, const struct hp_module **module)
{
	const struct hp_image **im = calloc(t->n_modules + 1, sizeof(*im));
	struct hp_import import[N_SWITCHES - LIBC_SWITCHES];
	size_t n = sizeof(import) / sizeof(import[0]), n_im = 0;
	const char *found = NULL;

	for (size_t k = 0; k < n; k++)
		import[k] = (struct hp_import){.name = switches[LIBC_SWITCHES + k]};
	for (size_t i = 0; im && i < t->n_modules; i++)
		if (!t->module[i].exe && !hp_module_is_of_hp(&t->module[i]))
			im[n_im++] = t->module[i].image;
	if (im && hp_dynsym_resolve(im, n_im, import, n, NULL) < 0)
		n = 0;
	/* The first library that has one of them. */
	for (size_t i = 0; im && i < t->n_modules && !found; i++)
		for (size_t k = 0; k < n && !found; k++)
			if (import[k].im == t->module[i].image) {
				*module = &t->module[i];
				found = import[k].name;
			}
	free(im);
	return found;
}

/* Of the program all names are looked at. */
static const char *in_program(struct hp_module *m)
{
	return imported(m->image) ?: contained(m);
}

bool hp_coroutines(struct hp_target *t, char *text, size_t n)
{
	const struct hp_module *m = hp_target_exe(t);
	const char *name = in_program(hp_target_exe(t)) ?: in_libraries(t, &m);

	if (name)
		(void)snprintf(text, n,
			       "%.100s has coroutines (%s): a call in one that is suspended is not seen, "
			       "and goes on in old code when it is resumed",
			       m->name, name);
	return name;
}
