/* SPDX-License-Identifier: MIT */
#include "patch/own_object.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/block.h"
#include "arch/frames.h"
#include "elf/write.h"
#include "hp/err.h"

struct work {
	const struct hp_plan *p;
	struct hp_frames frames;
	HP_ARRAY(struct hp_elf_section) section;
	HP_ARRAY(struct hp_elf_symbol) symbol;
	bool no_memory;
};

static void add_code(struct work *w, hp_addr lo, size_t n)
{
	struct hp_elf_section *s = HP_ARRAY_ADD(&w->section);

	w->no_memory |= !s;
	if (s)
		*s = (struct hp_elf_section){
			".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, lo, NULL, n};
}

static void add_symbol(struct work *w, const char *of, const char *what, hp_addr at, size_t n)
{
	struct hp_elf_symbol *y = HP_ARRAY_ADD(&w->symbol);

	w->no_memory |= !y;
	if (!y)
		return;
	*y = (struct hp_elf_symbol){.addr = at, .size = n};
	if (asprintf(&y->name, "%s.hp_%s", of, what) < 0) {
		w->symbol.n--;
		w->no_memory = true;
	}
}

static void describe_block(struct work *w, const struct hp_plan_fn *f)
{
	hp_addr at = hp_block_addr(w->p->bank[f->bank], f->slot);

	hp_frames_block(&w->frames, at);
	for (enum hp_path p = 0; p < HP_PATHS; p++)
		add_symbol(w, f->old.name, hp_path_name(p), at + hp_path_offset(p),
			   hp_path_size(p));
}

static int describe_head(struct work *w, const struct hp_plan_fn *f, struct hp_err *err)
{
	hp_addr at = hp_moved_addr(w->p->bank[f->bank], f->slot);
	struct hp_head head = hp_plan_head(f);
	uint8_t moved[HP_MOVED_MAX];
	const struct hp_cfi *cfi;
	size_t n;
	int r;

	if ((r = hp_head_move(&head, f->head_len, at, moved, &n, err)) < 0 ||
	    (r = hp_module_cfi(f->old.module, &cfi, err)) < 0)
		return r;
	hp_frames_head(&w->frames, at, n, &head, f->head_len, cfi, f->old.module->bias);
	add_symbol(w, f->old.name, "head", at, n);
	return 0;
}

static void describe_stub(struct work *w, const struct hp_plan_fn *f, const char *what, hp_addr at)
{
	hp_frames_stub(&w->frames, at);
	add_symbol(w, f->old.name, what, at, HP_STUB_LEN);
}

/* The code of a bank lies in one piece, and so has a list of its own: libgcc takes no two objects
 * whose code is mixed. */
static int describe_bank(struct work *w, unsigned bank, struct hp_err *err)
{
	const struct hp_plan *p = w->p;
	int r = 0;

	add_code(w, p->bank[bank] + HP_BANK_TEMPLATE, HP_BANK_SIZE - HP_BANK_TEMPLATE);
	hp_frames_begin(&w->frames);
	for (size_t i = 0; i < p->n_fns && r == 0; i++) {
		if (p->fn[i].bank != bank)
			continue;
		describe_block(w, &p->fn[i]);
		describe_stub(w, &p->fn[i], "inner", hp_inner_stub(p->bank[bank], p->fn[i].slot));
		r = describe_head(w, &p->fn[i], err);
	}
	hp_frames_end(&w->frames);
	return r;
}

static void describe_stubs(struct work *w)
{
	for (size_t i = 0; i < w->p->stub_page.n; i++)
		add_code(w, w->p->stub_page.v[i].at, HP_PAGE);
	hp_frames_begin(&w->frames);
	for (size_t i = 0; i < w->p->n_fns; i++) {
		const struct hp_plan_fn *f = &w->p->fn[i];

		if (f->joined)
			add_code(w, f->stub, HP_STUB_LEN);
		describe_stub(w, f, "stub", f->stub);
	}
	hp_frames_end(&w->frames);
}

static int write_object(struct work *w, struct hp_own_object *ret, struct hp_err *err)
{
	struct hp_elf_section *s = HP_ARRAY_ADD(&w->section);
	struct hp_elf_file file = {.base = w->frames.at - HP_ELF_HEADERS};
	int r = s && !w->no_memory && !w->frames.failed ? 0 : -ENOMEM;

	if (r == 0) {
		*s = (struct hp_elf_section){".eh_frame",   SHT_PROGBITS,	SHF_ALLOC,
					     w->frames.at, w->frames.bytes.v, w->frames.bytes.n};
		file.section = w->section.v;
		file.n_sections = w->section.n;
		file.symbol = w->symbol.v;
		file.n_symbols = w->symbol.n;
		r = hp_elf_write(&file, &ret->bytes, &ret->n);
	}
	return r < 0 ? hp_err_sys(err, -r, "describe the patch's paths") : 0;
}

int hp_own_object_make(struct hp_own_object *ret, const struct hp_plan *p, hp_addr base,
		       struct hp_err *err)
{
	struct work w = {.p = p, .frames = {.at = base + HP_ELF_HEADERS}};
	int r = 0;

	*ret = (struct hp_own_object){0};
	for (unsigned b = 0; b < p->n_banks && r == 0; b++) {
		ret->frames[b] = w.frames.at + w.frames.bytes.n;
		r = describe_bank(&w, b, err);
	}
	describe_stubs(&w);
	if (r == 0)
		r = write_object(&w, ret, err);
	for (size_t i = 0; i < w.symbol.n; i++)
		free(w.symbol.v[i].name);
	HP_ARRAY_FREE(&w.symbol);
	HP_ARRAY_FREE(&w.section);
	HP_ARRAY_FREE(&w.frames.bytes);
	return r;
}

void hp_own_object_free(struct hp_own_object *o)
{
	free(o->bytes);
	o->bytes = NULL;
}
