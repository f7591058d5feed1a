/* SPDX-License-Identifier: MIT */
#include "target/resolve.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf/cfi.h"
#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/module.h"

#define GO_MAIN	       "main."
#define CANDIDATES_MAX 16
#define SIMILAR_MAX    3

/* A spec taken apart. */
struct spec {
	const char *text;
	char qualifier[256]; /* before the colon: a library or a source file; "" for none */
	const char *name;    /* NULL: an address */
	uint64_t vaddr;
};

static int parse(struct spec *s, const char *text, struct hp_err *err)
{
	const char *colon = strrchr(text, ':');
	char *end;

	*s = (struct spec){.text = text, .name = text};
	/* C++'s a::b has colons of its own. */
	if (colon && colon > text && colon[-1] != ':') {
		if ((size_t)(colon - text) >= sizeof(s->qualifier))
			return hp_err_set(err, -HP_E_NO_SYMBOL, "symbol %.64s… is too long", text);
		memcpy(s->qualifier, text, (size_t)(colon - text));
		s->name = colon + 1;
	}
	if (!*s->name)
		return hp_err_set(err, -HP_E_NO_SYMBOL, "'%s' names no symbol", text);
	if (*s->name != '@')
		return 0;
	errno = 0;
	s->vaddr = strtoull(s->name + 1, &end, 16);
	if (strncmp(s->name, "@0x", 3) || errno || *end || end == s->name + 1)
		return hp_err_set(err, -HP_E_NO_SYMBOL,
				  "'%s' is no address: it is written @0x1234", text);
	s->name = NULL;
	return 0;
}

static void found(struct hp_resolved *ret, struct hp_module *m, const struct hp_sym *s)
{
	*ret = (struct hp_resolved){.module = m,
				    .vaddr = s->value,
				    .addr = s->value + m->bias,
				    .size = s->size,
				    .type = s->type};
	snprintf(ret->name, sizeof(ret->name), "%s", s->name);
}

static int ambiguous(const struct spec *s, const struct hp_module *m,
		     const struct hp_sym *const *sym, size_t n, struct hp_err *err)
{
	char list[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && i < CANDIDATES_MAX && used < sizeof(list); i++) {
		char lib[128] = "";

		if (!m->exe)
			snprintf(lib, sizeof(lib), "%.120s:", m->name);
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s:%s (@0x%llx)",
					 i ? ", " : "", sym[i]->file ? sym[i]->file : "?",
					 sym[i]->name, (unsigned long long)sym[i]->value);
	}
	return hp_err_set(err, -HP_E_AMBIGUOUS, "symbol %s is ambiguous in %s: %s", s->text,
			  m->name, list);
}

/* 1: found, 0: not in this module. */
static int in_module(const struct spec *s, struct hp_module *m, const char *file,
		     struct hp_resolved *ret, struct hp_err *err)
{
	const struct hp_sym *sym[CANDIDATES_MAX];
	const struct hp_symtab *st;
	int r = hp_module_symtab(m, &st, err);
	size_t n;

	if (r < 0)
		return r;
	n = hp_symtab_find(st, s->name, file, sym, CANDIDATES_MAX);
	if (!n)
		return 0;
	/* A global one is what the name means to everybody; statics of the name are other things. */
	for (size_t i = 0; n > 1 && i < n && i < CANDIDATES_MAX; i++)
		if (sym[i]->bind != STB_LOCAL) {
			found(ret, m, sym[i]);
			return 1;
		}
	if (n > 1)
		return ambiguous(s, m, sym, n, err);
	found(ret, m, sym[0]);
	return 1;
}

/* 1: found, 0: not there either.  Servers are asked for names that nothing here knows, and only for
 * the file where such a name belongs; never while somebody waits for hp. */
static int in_fetched(const struct spec *s, struct hp_module *m, const char *file,
		      struct hp_resolved *ret, struct hp_err *err)
{
	int r = hp_module_fetch_symtab(m, err);

	return r == 1 ? in_module(s, m, file, ret, err) : r;
}

static int not_found(const struct hp_target *t, const struct spec *s, struct hp_module *only,
		     struct hp_err *err)
{
	char hint[512] = "";
	size_t used = 0, shown = 0;

	for (size_t i = 0; i < t->n_modules && !shown; i++) {
		struct hp_module *m = only ? only : &t->module[i];
		const char *near[SIMILAR_MAX];
		const struct hp_symtab *st;
		size_t n;

		if (hp_module_symtab(m, &st, NULL) < 0)
			continue;
		n = hp_symtab_similar(st, s->name, near, SIMILAR_MAX);
		for (; shown < n && used < sizeof(hint); shown++)
			used += (size_t)snprintf(hint + used, sizeof(hint) - used, "%s%s",
						 shown ? ", " : "; did you mean ", near[shown]);
		if (only)
			break;
	}
	return hp_err_set(err, -HP_E_NO_SYMBOL, "symbol %s not found in %s%s%s%s", s->text,
			  only ? only->path : t->module[0].path,
			  only || t->n_modules == 1 ? "" : " and its libraries", hint,
			  shown ? "?" : "");
}

static int at_address(const struct spec *s, struct hp_module *m, struct hp_resolved *ret,
		      struct hp_err *err)
{
	const struct hp_symtab *st;
	const struct hp_sym *f;
	const struct hp_cfi *cfi;
	struct hp_fde fde;

	if (!hp_image_segment(m->image, s->vaddr))
		return hp_err_set(err, -HP_E_NO_SYMBOL, "%s is not in %s", s->text, m->path);
	*ret = (struct hp_resolved){
		.module = m, .vaddr = s->vaddr, .addr = s->vaddr + m->bias, .type = STT_NOTYPE};
	snprintf(ret->name, sizeof(ret->name), "%s", s->text);
	if (hp_module_symtab(m, &st, NULL) == 0 && (f = hp_symtab_func_at(st, s->vaddr)) &&
	    f->value == s->vaddr) {
		found(ret, m, f);
	} else if (hp_module_cfi(m, &cfi, NULL) == 0 && hp_cfi_find(cfi, s->vaddr, &fde) &&
		   fde.lo == s->vaddr) {
		ret->size = fde.hi - fde.lo;
		ret->type = STT_FUNC;
	}
	return 0;
}

static int resolve(struct hp_target *t, const char *text, struct hp_resolved *ret,
		   struct hp_err *err)
{
	struct hp_module *only = NULL;
	const char *file = NULL;
	struct spec s;
	int r = parse(&s, text, err);

	if (r < 0)
		return r;
	if (*s.qualifier) {
		only = hp_target_module_named(t, s.qualifier);
		if (!only)
			file = s.qualifier;
	}
	if (!s.name) {
		if (file)
			return hp_err_set(err, -HP_E_NO_SYMBOL, "%s: process %d has not loaded %s",
					  text, (int)t->pid, file);
		return at_address(&s, only ? only : hp_target_exe(t), ret, err);
	}
	for (size_t i = 0; i < t->n_modules; i++) {
		struct hp_module *m = &t->module[i];

		if ((only && m != only) || hp_module_is_of_hp(m))
			continue;
		r = in_module(&s, m, file, ret, err);
		if (r)
			return r < 0 ? r : 0;
	}
	/* Go's name for what is of the program itself; others call it by the rest. */
	if (!*s.qualifier && !strncmp(s.name, GO_MAIN, strlen(GO_MAIN))) {
		struct spec rest = {.text = text, .name = s.name + strlen(GO_MAIN)};

		r = in_module(&rest, hp_target_exe(t), NULL, ret, err);
		if (r)
			return r < 0 ? r : 0;
	}
	r = in_fetched(&s, only ? only : hp_target_exe(t), file, ret, err);
	if (r)
		return r < 0 ? r : 0;
	return not_found(t, &s, only, err);
}

int hp_resolve_function(struct hp_target *t, const char *spec, struct hp_resolved *ret,
			struct hp_err *err)
{
	int r = resolve(t, spec, ret, err);
	const Elf64_Phdr *ph;

	if (r < 0)
		return r;
	if (ret->type == STT_GNU_IFUNC)
		return hp_err_set(err, -HP_E_NOT_FUNCTION,
				  "%s of %s is an IFUNC, which chooses an implementation at start: "
				  "name the implementation itself",
				  spec, ret->module->name);
	ph = hp_image_segment(ret->module->image, ret->vaddr);
	if ((ret->type != STT_FUNC && ret->type != STT_NOTYPE) || !ph || !(ph->p_flags & PF_X))
		return hp_err_set(err, -HP_E_NOT_FUNCTION, "%s of %s is data, not a function", spec,
				  ret->module->name);
	return 0;
}

int hp_resolve_any(struct hp_target *t, const char *spec, struct hp_resolved *ret,
		   struct hp_err *err)
{
	int r = resolve(t, spec, ret, err);

	if (r == 0 && ret->type == STT_TLS)
		return hp_err_set(err, -HP_E_TLS,
				  "%s is a thread-local variable: it has no one address to refer to",
				  spec);
	return r;
}

/* hp's path blocks and patches are nobody's scope. */
static size_t scope_of(const struct hp_target *t, const struct hp_image **im,
		       struct hp_module **module)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_modules; i++)
		if (!hp_module_is_of_hp(&t->module[i])) {
			module[n] = &t->module[i];
			im[n++] = t->module[i].image;
		}
	return n;
}

static void bind(struct hp_bound *b, struct hp_module *m, uint64_t vaddr, uint8_t type)
{
	b->module = m;
	b->vaddr = vaddr;
	b->addr = vaddr + m->bias;
	b->type = type;
}

/* Static, hidden, or in a debug file only. */
static void bind_in_exe(struct hp_target *t, struct hp_bound *b)
{
	struct spec s = {.text = b->name, .name = b->name};
	struct hp_resolved at = {0};

	if (in_module(&s, hp_target_exe(t), NULL, &at, NULL) != 1 && b->needed)
		(void)in_fetched(&s, hp_target_exe(t), NULL, &at, NULL); /* @at tells */
	if (at.module)
		bind(b, at.module, at.vaddr, at.type);
}

static int bind_in(struct hp_target *t, const struct hp_image **im, struct hp_module **module,
		   struct hp_import *import, struct hp_bound *v, size_t n, struct hp_err *err)
{
	size_t n_im = scope_of(t, im, module);
	int r;

	for (size_t i = 0; i < n; i++)
		import[i] = (struct hp_import){.name = v[i].name, .version = v[i].version};
	r = hp_dynsym_resolve(im, n_im, import, n, err);
	for (size_t i = 0; i < n && r >= 0; i++) {
		size_t k = 0;

		v[i].module = NULL;
		while (k < n_im && im[k] != import[i].im)
			k++;
		if (k < n_im)
			bind(&v[i], module[k], import[i].sym.st_value,
			     ELF64_ST_TYPE(import[i].sym.st_info));
		else
			bind_in_exe(t, &v[i]);
	}
	return r;
}

int hp_resolve_imports(struct hp_target *t, struct hp_bound *v, size_t n, struct hp_err *err)
{
	const struct hp_image **im = calloc(t->n_modules + 1, sizeof(*im));
	struct hp_module **module = calloc(t->n_modules + 1, sizeof(*module));
	struct hp_import *import = calloc(n + 1, sizeof(*import));
	int r = im && module && import
			? bind_in(t, im, module, import, v, n, err)
			: hp_err_sys(err, ENOMEM, "%zu names in process %d", n, (int)t->pid);

	free(im);
	free(module);
	free(import);
	return r;
}

int hp_resolve_undefined(struct hp_target *t, const struct hp_bound *b, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_UNDEFINED, "undefined symbol %s%s%s: neither %s nor a library "
						"that it has loaded defines it",
			  b->name, b->version ? "@" : "", b->version ? b->version : "",
			  hp_target_exe(t)->path);
}
