/* SPDX-License-Identifier: MIT */
/*
 * Where everything goes.  A pun's stub has exactly one possible address (F + 5 + the four bytes
 * after the first); what follows from it are the banks, which must reach stubs and the functions'
 * own image within 2 GB; everything else is free.
 */
#include <errno.h>

#include "arch/block.h"
#include "base/array.h"
#include "hp/err.h"
#include "patch/join.h"
#include "patch/own_object.h"
#include "patch/space.h"

#define REACH		((1ull << 31) - (1ull << 20))
#define ADDRESS_LO	0x10000ull
#define ADDRESS_HI	0x7fffffff0000ull
/* A program linked at 0x400000 is full of integers that would be addresses beside it: a patch there
 * would look pointed to when it is unloaded. */
#define LOW		(1ull << 32)
#define HIGH		(1ull << 40)
#define CONTROL_PAGES	5 /* table, gate, gate_back, data, code */

_Static_assert(HP_MOVED_MAX <= HP_MOVED_ROOM - HP_STUB_ROOM,
	       "a moved head and an inner stub share a room");

struct surroundings {
	struct hp_space space;
	const struct hp_ledgers *there;
};

static bool ours(const struct hp_plan *p, hp_addr page)
{
	for (size_t i = 0; i < p->stub_page.n; i++)
		/* Where n is not 0 there is a v. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		if (p->stub_page.v[i].at == page)
			return true;
	return false;
}

static bool stubs_overlap(hp_addr a, hp_addr b)
{
	return a < b + HP_STUB_LEN && b < a + HP_STUB_LEN;
}

/* A page in which other patches have stubs of theirs has room for more. */
static bool holds_stubs(const struct surroundings *s, hp_addr page)
{
	for (size_t i = 0; i < s->there->n; i++)
		for (unsigned k = 0; k < s->there->v[i]->fixed.n_fns; k++) {
			hp_addr stub = s->there->v[i]->fixed.fn[k].stub;

			if (stub < page + HP_PAGE && page < stub + HP_STUB_LEN)
				return true;
		}
	return false;
}

/* A stub of the same function is of a patch that is out of use. */
static bool stub_taken(const struct surroundings *s, const struct hp_plan_fn *f, hp_addr stub)
{
	for (size_t i = 0; i < s->there->n; i++)
		for (unsigned k = 0; k < s->there->v[i]->fixed.n_fns; k++) {
			const struct hp_ledger_fn *o = &s->there->v[i]->fixed.fn[k];

			if (o->addr != f->old.addr && stubs_overlap(o->stub, stub))
				return true;
		}
	return false;
}

static const char *pun_fails(const struct hp_plan *p, const struct surroundings *s,
			     const struct hp_plan_fn *f, hp_addr stub)
{
	if (stub < ADDRESS_LO || stub >= ADDRESS_HI)
		return "the pun leads out of the address space";
	for (hp_addr g = HP_PAGE_DOWN(stub); g < stub + HP_STUB_LEN; g += HP_PAGE)
		if (!ours(p, g) && !holds_stubs(s, g) &&
		    !hp_maps_free_range(&s->space.maps, (struct hp_range){g, g + HP_PAGE}))
			return "the pun leads to mapped memory";
	if (hp_space_near_break(&s->space, stub))
		return "the pun leads into the heap's room to grow";
	for (const struct hp_plan_fn *o = p->fn; o < f; o++)
		if (o->method == HP_ENTRY_PUN && stubs_overlap(o->stub, stub))
			return "two puns lead to one place";
	return stub_taken(s, f, stub) ? "the pun leads to another patch's stub" : NULL;
}

static int take_stub_pages(struct hp_plan *p, struct surroundings *s, hp_addr stub)
{
	for (hp_addr g = HP_PAGE_DOWN(stub); g < stub + HP_STUB_LEN; g += HP_PAGE) {
		struct hp_plan_page *page;

		if (ours(p, g))
			continue;
		page = HP_ARRAY_ADD(&p->stub_page);
		if (!page)
			return -ENOMEM;
		*page = (struct hp_plan_page){g, holds_stubs(s, g)};
		if (!page->there && hp_space_take(&s->space, g, HP_PAGE) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int choose_method(struct hp_plan *p, struct surroundings *s, struct hp_plan_fn *f,
			 struct hp_err *err)
{
	hp_addr stub = f->head.pun + f->old.module->bias;
	const char *why;

	if (f->joined) {
		f->method = f->joined->method;
		f->head_len = f->joined->head_len;
		f->stub = f->joined->stub;
		f->door = f->joined->door;
		f->why = "another patch wrote it";
		return 0;
	}
	why = pun_fails(p, s, f, stub);
	f->why = why ? why : "one byte";
	if (!why) {
		f->method = HP_ENTRY_PUN;
		f->head_len = f->head.first_len;
		f->stub = stub;
		return take_stub_pages(p, s, stub);
	}
	if (f->head.first_len >= HP_JUMP_LEN && !f->head.first_is_nop5 && p->probes) {
		f->method = HP_ENTRY_INT3;
		f->head_len = f->head.first_len;
		return 0;
	}
	f->method = HP_ENTRY_STOP;
	f->head_len = f->head.jump_len;
	if (!f->head.jump_len)
		return hp_err_set(err, -HP_E_ENTRY,
				  "%s is shorter than the five bytes of a jump, and %s",
				  f->old.name, why);
	if (f->flow.into_head)
		return hp_err_set(err, -HP_E_ENTRY,
				  "%s branches into its own first five bytes, and %s", f->old.name,
				  why);
	if (p->req->no_stop)
		return hp_err_set(err, -HP_E_ENTRY,
				  "the entry of %s can only be written with all threads stopped "
				  "(%s), and --no-stop forbids it",
				  f->old.name, why);
	return 0;
}

static void widen(struct hp_range *r, hp_addr lo, hp_addr hi)
{
	if (!r->hi)
		*r = (struct hp_range){lo, hi};
	if (lo < r->lo)
		r->lo = lo;
	if (hi > r->hi)
		r->hi = hi;
}

static int add_near_page(struct hp_plan *p, hp_addr at)
{
	struct hp_plan_page *page = ours(p, at) ? NULL : HP_ARRAY_ADD(&p->stub_page);

	if (page)
		*page = (struct hp_plan_page){at, false};
	return page || ours(p, at) ? 0 : -ENOMEM;
}

static int choose_banks(struct hp_plan *p, struct surroundings *s, struct hp_err *err)
{
	struct hp_range near[HP_LEDGER_BANKS] = {0};
	unsigned used[HP_LEDGER_BANKS] = {0};

	for (size_t i = 0; i < p->n_fns; i++) {
		struct hp_plan_fn *f = &p->fn[i];
		size_t b;

		for (b = 0; b < HP_LEDGER_BANKS; b++) {
			struct hp_range r = near[b];

			widen(&r, f->old.module->span.lo, f->old.module->span.hi);
			if (f->method == HP_ENTRY_PUN && !f->joined)
				widen(&r, f->stub, f->stub + HP_STUB_LEN);
			if (used[b] == HP_BANK_FNS || r.hi - r.lo + HP_BANK_ROOM > REACH)
				continue;
			near[b] = r;
			f->bank = (unsigned)b;
			f->slot = used[b]++;
			break;
		}
		if (b == HP_LEDGER_BANKS)
			return hp_err_set(err, -HP_E_PLACE, "the functions lie too far apart");
		if (b >= p->n_banks)
			p->n_banks = b + 1;
	}
	for (size_t b = 0; b < p->n_banks; b++) {
		p->bank[b] = hp_space_scattered(&s->space, HP_BANK_ROOM, near[b], REACH);
		if (!p->bank[b])
			return hp_err_set(err, -HP_E_PLACE,
					  "no free memory within 2 GB of 0x%llx-0x%llx",
					  (unsigned long long)near[b].lo,
					  (unsigned long long)near[b].hi);
		if (hp_space_take(&s->space, p->bank[b], HP_BANK_ROOM) < 0)
			return hp_err_set(err, -ENOMEM, "no memory for a plan");
	}
	for (size_t i = 0; i < p->n_fns; i++) {
		struct hp_plan_fn *f = &p->fn[i];

		if (f->joined)
			continue;
		f->door = hp_door_addr(p->bank[f->bank], f->slot);
		if (f->method == HP_ENTRY_PUN)
			continue;
		f->stub = hp_near_stub(p->bank[f->bank], f->slot);
		if (add_near_page(p, HP_PAGE_DOWN(f->stub)) < 0)
			return hp_err_set(err, -ENOMEM, "no memory for a plan");
	}
	return 0;
}

static int choose_area(struct hp_plan *p, struct surroundings *s, struct hp_err *err)
{
	struct hp_range near = {p->bank[0], p->bank[0] + HP_BANK_ROOM};
	struct hp_own_object object;
	size_t ledger, before, text;
	int r;

	text = hp_ledger_text_bytes(&p->replace) + hp_ledger_text_bytes(&p->ref) +
	       hp_ledger_text_bytes(&p->info.meta) + (p->seal ? hp_ledger_text_bytes(p->seal) : 0);
	if (text > HP_LEDGER_TEXT)
		return hp_err_set(err, -HP_E_NOT_PATCH,
				  "the patch's maps and metadata are longer than %u bytes",
				  HP_LEDGER_TEXT);

	/* As many ranges as there can be. */
	ledger = HP_PAGE_UP(hp_ledger_size(p->n_fns, 1 + p->n_banks + 3 * p->n_fns, text));
	if ((r = hp_own_object_make(&object, p, 0, err)) < 0)
		return r;
	before = ledger + HP_PAGE_UP(object.n);
	hp_own_object_free(&object);
	if (before > HP_LEDGER_AREA_MAX)
		return hp_err_set(err, -HP_E_PLACE, "the names of the functions are too long");
	p->area_bytes = before + CONTROL_PAGES * HP_PAGE;
	p->area = hp_maps_find_room(&s->space.maps, p->area_bytes, near, ADDRESS_HI);
	if (!p->area || hp_space_take(&s->space, p->area, p->area_bytes) < 0)
		return hp_err_set(err, -HP_E_PLACE, "no free memory for the ledger");
	p->object = p->area + ledger;
	p->table = p->area + before;
	p->gate = p->table + HP_PAGE;
	p->gate_back = p->gate + HP_PAGE;
	p->data = p->gate_back + HP_PAGE;
	p->code = p->data + HP_PAGE;
	return 0;
}

static int choose_patch(struct hp_plan *p, struct surroundings *s, struct hp_err *err)
{
	uint64_t lo = UINT64_MAX, hi = 0;
	struct hp_range near;
	hp_addr at;

	for (size_t i = 0; i < p->image->n_phdrs; i++) {
		const Elf64_Phdr *ph = &p->image->phdr[i];

		if (ph->p_type != PT_LOAD)
			continue;
		if (HP_PAGE_DOWN(ph->p_vaddr) < lo)
			lo = HP_PAGE_DOWN(ph->p_vaddr);
		if (HP_PAGE_UP(ph->p_vaddr + ph->p_memsz) > hi)
			hi = HP_PAGE_UP(ph->p_vaddr + ph->p_memsz);
	}
	if (hi <= lo || hi - lo > (1ull << 30))
		return hp_err_set(err, -HP_E_BAD_ELF, "the patch's segments span %llu bytes",
				  (unsigned long long)(hi - lo));
	near = p->fn[0].old.module->span;
	if (near.lo < LOW)
		near = (struct hp_range){HIGH, HIGH};
	at = hp_space_scattered(&s->space, hi - lo, near, REACH);
	if (!at)
		at = hp_space_scattered(&s->space, hi - lo, near, ADDRESS_HI);
	if (!at || hp_space_take(&s->space, at, hi - lo) < 0)
		return hp_err_set(err, -HP_E_PLACE, "no free memory for the patch");
	p->bias = at - lo;
	p->patch = (struct hp_range){at, at + (hi - lo)};
	return 0;
}

static int too_close(const struct hp_plan_fn *f, hp_addr addr, const char *name,
		     struct hp_err *err)
{
	uint64_t apart = addr > f->old.addr ? addr - f->old.addr : f->old.addr - addr;

	if (!apart || apart >= HP_JUMP_LEN)
		return 0;
	return hp_err_set(err, -HP_E_ENTRY,
			  "%s lies within five bytes of %s, which is replaced too: the jump of one "
			  "would be changed by that of the other",
			  f->old.name, name);
}

/* A jump is read over five bytes, however few of them are written. */
static int refuse_neighbours(const struct hp_plan *p, const struct hp_ledgers *there,
			     struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < p->n_fns; i++) {
		for (size_t k = 0; k < i && r >= 0; k++)
			r = too_close(&p->fn[i], p->fn[k].old.addr, p->fn[k].old.name, err);
		for (size_t k = 0; k < there->n && r >= 0; k++) {
			const struct hp_ledger_fixed *l = &there->v[k]->fixed;

			for (unsigned j = 0; j < l->n_fns && r >= 0; j++)
				r = too_close(&p->fn[i], l->fn[j].addr, l->fn[j].old_name, err);
		}
	}
	return r;
}

static int check_mapping(const struct hp_plan *p, struct hp_err *err)
{
	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];
		const struct hp_map *m = hp_maps_find(&p->target->maps, f->old.addr);

		if (!m || !m->ino || m->shared)
			return hp_err_set(err, -HP_E_ENTRY,
					  "%s lies in memory that is %s: only private mappings of "
					  "files can be patched",
					  f->old.name, !m ? "not mapped" : m->shared ? "shared"
										     : "anonymous");
	}
	return 0;
}

int hp_plan_place(struct hp_plan *p, const struct hp_ledgers *there, struct hp_err *err)
{
	struct surroundings s = {.there = there};
	int r = hp_plan_join(p, there, err);

	if (r < 0 || (r = refuse_neighbours(p, there, err)) < 0 || (r = check_mapping(p, err)) < 0)
		return r;
	p->stub_page.n = p->n_banks = 0;
	if ((r = hp_space_open(&s.space, p->target)) < 0) {
		hp_space_close(&s.space);
		return hp_err_set(err, r, "the target's memory map cannot be read");
	}
	for (size_t i = 0; i < p->n_fns && r >= 0; i++)
		r = choose_method(p, &s, &p->fn[i], err);
	if (r >= 0)
		r = choose_banks(p, &s, err);
	if (r >= 0)
		r = choose_area(p, &s, err);
	if (r >= 0)
		r = choose_patch(p, &s, err);
	hp_space_close(&s.space);
	return r < 0 ? r : hp_plan_relocate(p, err);
}

size_t hp_plan_bytes(const struct hp_plan *p)
{
	return p->area_bytes + p->n_banks * (HP_BANK_SIZE + HP_PAGE) + p->stub_page.n * HP_PAGE +
	       (p->patch.hi - p->patch.lo);
}
