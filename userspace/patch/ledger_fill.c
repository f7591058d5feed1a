/* SPDX-License-Identifier: MIT */
#include "patch/ledger_fill.h"

#include <stdio.h>
#include <string.h>

#include "arch/block.h"
#include "base/clock.h"
#include "hp/err.h"

static int add_range(struct hp_ledger_fixed *f, hp_addr lo, hp_addr hi)
{
	for (unsigned i = 0; i < f->n_ranges; i++)
		if (f->range[i].lo == lo)
			return 0;
	if (f->n_ranges == HP_LEDGER_RANGES)
		return -HP_E_PLACE;
	f->range[f->n_ranges++] = (struct hp_ledger_range){lo, hi};
	return 0;
}

static int write_fn(struct hp_ledger_fn *lf, const struct hp_plan *p, const struct hp_plan_fn *f,
		    struct hp_err *err)
{
	*lf = (struct hp_ledger_fn){
		.addr = f->old.addr,
		.size = f->old.size,
		.new_addr = p->bias + f->new_vaddr,
		.new_size = f->new_size,
		.stub = f->stub,
		.door = f->door,
		.bank = (uint16_t)f->bank,
		.slot = (uint16_t)f->slot,
		.method = (uint8_t)f->method,
		.head_len = (uint8_t)f->head_len,
		.watchable = hp_flow_watchable(&f->flow, true, NULL),
		.new_watchable = hp_flow_watchable(&f->new_flow, false, NULL),
	};
	snprintf(lf->new_name, sizeof(lf->new_name), "%s", f->new_name);
	snprintf(lf->old_name, sizeof(lf->old_name), "%.*s", HP_LEDGER_NAME - 1, f->old.name);
	memcpy(lf->orig, f->head.bytes, sizeof(lf->orig));
	if (f->joined) {
		memcpy(lf->jump, f->joined->jump, sizeof(lf->jump));
		return 0;
	}
	if (f->method == HP_ENTRY_PUN) {
		memcpy(lf->jump, f->head.bytes, sizeof(lf->jump));
		lf->jump[0] = 0xe9;
		return 0;
	}
	if (hp_jump_fill(lf->jump, f->old.addr, f->stub) < 0)
		return hp_err_set(err, -HP_E_PLACE, "the stub of %s is out of reach", f->old.name);
	return 0;
}

/* What other patches on the same functions have a part in: whoever is the last unmaps it. */
static int add_shared(struct hp_ledger_fixed *l, const struct hp_plan *p)
{
	int r = 0;

	for (size_t i = 0; i < p->stub_page.n && r >= 0; i++)
		r = add_range(l, p->stub_page.v[i].at, p->stub_page.v[i].at + HP_PAGE);
	for (size_t i = 0; i < p->n_fns && r >= 0; i++) {
		hp_addr door = HP_PAGE_DOWN(p->fn[i].door), stub = p->fn[i].stub;

		for (hp_addr g = HP_PAGE_DOWN(stub); g < stub + HP_STUB_LEN && r >= 0; g += HP_PAGE)
			r = add_range(l, g, g + HP_PAGE);
		if (r >= 0)
			r = add_range(l, door, door + HP_PAGE);
	}
	return r;
}

/* The word at @vaddr once it is relocated: what an init or fini array will hold. */
static uint64_t relocated_word(const struct hp_plan *p, uint64_t vaddr)
{
	const uint8_t *at = hp_image_at(p->image, vaddr, sizeof(uint64_t));
	uint64_t v = 0;

	for (size_t i = 0; i < p->fixups.n; i++)
		if (p->fixups.v[i].where == vaddr)
			return p->fixups.v[i].value;
	if (at)
		memcpy(&v, at, sizeof(v));
	return v;
}

/* The request's pairs and the patch's own are told apart. */
static int put_map(struct hp_ledger *l, char asked, char own, const struct hp_pairs *map,
		   size_t n_asked, struct hp_err *err)
{
	const struct hp_pairs first = {.v = map->v, .n = n_asked};
	const struct hp_pairs rest = {.v = map->v + n_asked, .n = map->n - n_asked};
	int r = hp_ledger_put_text(l, asked, &first, err);

	return r < 0 ? r : hp_ledger_put_text(l, own, &rest, err);
}

int hp_ledger_fill(struct hp_ledger *l, const struct hp_plan *p, const struct hp_own_object *object,
		   struct hp_err *err)
{
	struct hp_ledger_fixed *f = &l->fixed;
	int r = 0;

	/* Member by member: of the 480 kB that calloc() gave as zeros few pages are used. */
	f->magic = HP_LEDGER_MAGIC;
	f->version = HP_LEDGER_VERSION;
	f->n_fns = (uint32_t)p->n_fns;
	f->n_banks = (uint32_t)p->n_banks;
	f->pid = p->target->pid;
	f->mode = p->req->mode;
	f->start_time = p->target->start_time;
	f->loaded_wall_ns = hp_wall_ns();
	f->area_lo = p->area;
	f->area_hi = p->area + p->area_bytes;
	f->table = p->table;
	f->gate = p->gate;
	f->gate_back = p->gate_back;
	f->data = p->data;
	f->code = p->code;
	f->patch_lo = p->patch.lo;
	f->patch_hi = p->patch.hi;
	f->bias = p->bias;
	f->n_fini = (uint32_t)p->n_fini;
	f->register_frame = p->register_frame;
	f->deregister_frame = p->deregister_frame;
	snprintf(f->id, sizeof(f->id), "%s", p->id);
	snprintf(f->file, sizeof(f->file), "%s", p->req->file);
	memcpy(f->bank, p->bank, sizeof(*f->bank) * p->n_banks);
	if (p->register_frame && p->eh_frame)
		f->frames[f->n_frames++] = p->bias + p->eh_frame;
	for (size_t b = 0; b < p->n_banks && p->register_frame; b++)
		f->frames[f->n_frames++] = object->frames[b];
	for (size_t h = 0; h < HP_HOOKS; h++)
		f->hook[h] = p->info.hook[h] ? p->bias + p->info.hook[h] : 0;
	f->hook_text = p->info.hook_text ? p->bias + p->info.hook_text : 0;
	f->hook_text_bytes = p->info.hook_text_bytes;
	for (size_t i = 0; i < p->n_fini; i++)
		f->fini[i] = relocated_word(p, p->fini[i]);
	for (size_t i = 0; i < p->n_fns && r >= 0; i++)
		r = write_fn(&f->fn[i], p, &p->fn[i], err);
	if (r < 0 || (r = put_map(l, 'r', 'R', &p->replace, p->asked_replace, err)) < 0 ||
	    (r = put_map(l, 'v', 'V', &p->ref, p->asked_ref, err)) < 0 ||
	    (r = hp_ledger_put_text(l, 'm', &p->info.meta, err)) < 0 ||
	    (p->seal && (r = hp_ledger_put_text(l, 's', p->seal, err)) < 0))
		return r;
	/* Unmapped in this order: when the patch's own code is gone nothing else is asked for. */
	r = add_range(f, p->patch.lo, p->patch.hi);
	for (size_t b = 0; b < p->n_banks && r >= 0; b++)
		r = add_range(f, p->bank[b], p->bank[b] + HP_BANK_SIZE);
	if (r >= 0)
		r = add_shared(f, p);
	if (r < 0)
		return hp_err_set(err, r, "the patch needs more than %d mappings",
				  HP_LEDGER_RANGES);
	hp_ledger_seal(l);
	return hp_ledger_set_phase(l, NULL, HP_PHASE_MAPPED, err);
}
