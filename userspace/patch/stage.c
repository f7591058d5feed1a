/* SPDX-License-Identifier: MIT */
/*
 * One memfd holds ledger, control pages, slots, moved heads and stubs.  The ledger is mapped first:
 * from then on a new hpd knows all the rest.
 *
 * The target maps memory of its own meanwhile, perhaps where the plan saw a gap.  So whatever is to
 * be unmapped again must be known by its file; the places where memory without a file lies, the
 * control pages and the patch's segments, are first taken as a whole by a mapping that has one.
 */
#include "patch/stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/template.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "elf/cfi.h"
#include "hp/err.h"
#include "patch/own_object.h"
#include "patch/segments.h"
#include "target/borrow.h"

#define PRIVATE_FIXED (MAP_PRIVATE | MAP_FIXED_NOREPLACE)
#define PRIVATE_OVER  (MAP_PRIVATE | MAP_FIXED) /* over what is ours already */

struct stage {
	const struct hp_plan *p;
	struct hp_agent *a;
	struct hp_ledger *l;
	int memfd;	/* ours */
	int agent_fd;	/* the agent's */
	uint64_t used;	/* bytes of the memfd */
	struct hp_segments seg;
	struct hp_own_object object;
};

static int add_range(struct stage *s, hp_addr lo, hp_addr hi)
{
	struct hp_ledger_fixed *f = &s->l->fixed;

	if (f->n_ranges == HP_LEDGER_RANGES)
		return -HP_E_PLACE;
	f->range[f->n_ranges++] = (struct hp_ledger_range){lo, hi};
	return 0;
}

static int write_fn(struct stage *s, const struct hp_plan_fn *f, struct hp_ledger_fn *lf,
		    struct hp_err *err)
{
	*lf = (struct hp_ledger_fn){
		.addr = f->old.addr,
		.size = f->old.size,
		.new_addr = s->p->bias + f->new_vaddr,
		.new_size = f->new_size,
		.stub = f->stub,
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
	if (f->method == HP_ENTRY_PUN) {
		memcpy(lf->jump, f->head.bytes, sizeof(lf->jump));
		lf->jump[0] = 0xe9;
		return 0;
	}
	if (hp_jump_fill(lf->jump, f->old.addr, f->stub) < 0)
		return hp_err_set(err, -HP_E_PLACE, "the stub of %s is out of reach", f->old.name);
	return 0;
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

static int fill_ledger(struct stage *s, struct hp_err *err)
{
	const struct hp_plan *p = s->p;
	struct hp_ledger_fixed *f = &s->l->fixed;
	int r = 0;

	*f = (struct hp_ledger_fixed){
		.magic = HP_LEDGER_MAGIC,
		.version = HP_LEDGER_VERSION,
		.n_fns = (uint32_t)p->n_fns,
		.n_banks = (uint32_t)p->n_banks,
		.pid = p->target->pid,
		.mode = p->req->mode,
		.start_time = p->target->start_time,
		.loaded_wall_ns = hp_wall_ns(),
		.area_lo = p->area,
		.area_hi = p->area + p->area_bytes,
		.table = p->table,
		.gate = p->gate,
		.gate_back = p->gate_back,
		.data = p->data,
		.code = p->code,
		.patch_lo = p->patch.lo,
		.patch_hi = p->patch.hi,
		.bias = p->bias,
		.n_fini = (uint32_t)p->n_fini,
		.register_frame = p->register_frame,
		.deregister_frame = p->deregister_frame,
	};
	snprintf(f->id, sizeof(f->id), "%s", p->id);
	snprintf(f->file, sizeof(f->file), "%s", p->req->file);
	memcpy(f->bank, p->bank, sizeof(*f->bank) * p->n_banks);
	if (p->register_frame && p->eh_frame)
		f->frames[f->n_frames++] = p->bias + p->eh_frame;
	for (size_t b = 0; b < p->n_banks && p->register_frame; b++)
		f->frames[f->n_frames++] = s->object.frames[b];
	for (size_t h = 0; h < HP_HOOKS; h++)
		f->hook[h] = p->info.hook[h] ? p->bias + p->info.hook[h] : 0;
	for (size_t i = 0; i < p->n_fini; i++)
		f->fini[i] = relocated_word(p, p->fini[i]);
	for (size_t i = 0; i < p->n_fns && r >= 0; i++)
		r = write_fn(s, &p->fn[i], &f->fn[i], err);
	if (r < 0 || (r = hp_ledger_put_text(s->l, 'r', &p->replace, err)) < 0 ||
	    (r = hp_ledger_put_text(s->l, 'v', &p->ref, err)) < 0 ||
	    (r = hp_ledger_put_text(s->l, 'm', &p->info.meta, err)) < 0 ||
	    (p->seal && (r = hp_ledger_put_text(s->l, 's', p->seal, err)) < 0))
		return r;
	for (size_t b = 0; b < p->n_banks && r >= 0; b++)
		r = add_range(s, p->bank[b], p->bank[b] + HP_BANK_SIZE);
	for (size_t i = 0; i < p->stub_page.n && r >= 0; i++)
		r = add_range(s, p->stub_page.v[i], p->stub_page.v[i] + HP_PAGE);
	if (r >= 0)
		r = add_range(s, p->patch.lo, p->patch.hi);
	if (r < 0)
		return hp_err_set(err, r, "the patch needs more than %d mappings",
				  HP_LEDGER_RANGES);
	hp_ledger_seal(s->l);
	return hp_ledger_set_phase(s->l, NULL, HP_PHASE_MAPPED, err);
}

/* Puts @n bytes at the next page of the memfd and maps them, and zeroes up to @room, at @at. */
static int map_room(struct stage *s, hp_addr at, const void *bytes, size_t n, size_t room, int prot,
		    int flags, struct hp_err *err)
{
	int r = ftruncate(s->memfd, (off_t)(s->used + room)) < 0 ? -errno : 0;

	if (r == 0)
		r = hp_pwrite_all(s->memfd, bytes, n, (off_t)s->used);
	if (r < 0)
		return hp_err_sys(err, -r, "fill the patch's area");
	r = hp_agent_map(s->a, at, room, prot, flags, s->agent_fd, s->used, err);
	s->used += room;
	return r;
}

static int map_bytes(struct stage *s, hp_addr at, const void *bytes, size_t n, int prot,
		     struct hp_err *err)
{
	return map_room(s, at, bytes, n, HP_PAGE_UP(n), prot, PRIVATE_FIXED, err);
}

static int map_control_page(struct stage *s, hp_addr at, const uint8_t page[HP_PAGE], int prot,
			    struct hp_err *err)
{
	return map_room(s, at, page, HP_PAGE, HP_PAGE, prot, PRIVATE_OVER, err);
}

/* Ledger and object in one mapping: as the ledger is written to, a core dump has both. */
static int map_area(struct stage *s, struct hp_err *err)
{
	size_t object = s->p->object - s->p->area, n = object + s->object.n;
	uint8_t *bytes = calloc(1, n);
	int r;

	if (!bytes)
		return hp_err_set(err, -ENOMEM, "no memory for a ledger");
	memcpy(bytes, s->l, hp_ledger_size(s->p->n_fns));
	memcpy(bytes + object, s->object.bytes, s->object.n);
	r = map_room(s, s->p->area, bytes, n, s->p->area_bytes, PROT_READ, PRIVATE_FIXED, err);
	free(bytes);
	return r;
}

static int map_control(struct stage *s, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &s->l->fixed;
	uint8_t page[HP_PAGE] = {0};
	int r;

	if ((r = map_control_page(s, f->table, page, PROT_READ, err)) < 0 ||
	    (r = hp_agent_map(s->a, f->gate, HP_PAGE, PROT_READ, PRIVATE_OVER | MAP_ANONYMOUS, -1,
			      0, err)) < 0 ||
	    (r = hp_agent_map(s->a, f->gate_back, HP_PAGE, PROT_READ, PRIVATE_OVER | MAP_ANONYMOUS,
			      -1, 0, err)) < 0)
		return r;
	for (unsigned w = 0; w < HP_WORDS; w++)
		memcpy(page + 8 * w, &(uint64_t){HP_WORD_UNSET}, 8);
	if ((r = map_control_page(s, f->data, page, PROT_READ | PROT_WRITE, err)) < 0)
		return r;
	memset(page, 0xcc, sizeof(page));
	for (unsigned w = 0; w < HP_WORDS; w++)
		(void)hp_borrow_stub_fill(page + 64 * w, hp_word_stub(f, w), hp_word_addr(f, w));
	return map_control_page(s, f->code, page, PROT_READ | PROT_EXEC, err);
}

static int fill_moved(struct stage *s, unsigned bank, uint8_t *moved, struct hp_err *err)
{
	const struct hp_plan *p = s->p;

	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];
		hp_addr at = hp_moved_addr(p->bank[bank], f->slot);
		struct hp_head head = hp_plan_head(f);
		uint8_t *room = moved + f->slot * HP_MOVED_ROOM;
		size_t n;
		int r;

		if (f->bank != bank)
			continue;
		if ((r = hp_head_move(&head, f->head_len, at, room, &n, err)) < 0)
			return r;
		if (f->method != HP_ENTRY_PUN &&
		    hp_stub_fill(room + (f->stub - at), f->stub,
				 p->bank[bank] + offsetof(struct hp_slots, first) +
					 8ull * f->slot) < 0)
			return hp_err_set(err, -HP_E_PLACE, "the slot of %s is out of reach",
					  f->old.name);
	}
	return 0;
}

static int map_bank(struct stage *s, unsigned bank, int template_fd, struct hp_err *err)
{
	static uint8_t moved[HP_BANK_SIZE - HP_BANK_MOVED];
	const struct hp_plan *p = s->p;
	hp_addr at = p->bank[bank];
	struct hp_slots slots = {
		.gate = p->gate, .gate_back = p->gate_back, .table = p->table};
	int r;

	memset(moved, 0xcc, sizeof(moved));
	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];

		if (f->bank != bank)
			continue;
		slots.first[f->slot] = slots.second[f->slot] =
			hp_block_addr(at, f->slot) + hp_path_offset(HP_PATH_OLD);
		slots.old[f->slot] = hp_moved_addr(at, f->slot);
		slots.new_[f->slot] = p->bias + f->new_vaddr;
	}
	if ((r = fill_moved(s, bank, moved, err)) < 0 ||
	    (r = map_bytes(s, at + HP_BANK_SLOTS, &slots, sizeof(slots), PROT_READ, err)) < 0 ||
	    (r = hp_agent_map(s->a, at + HP_BANK_FILE, HP_TEMPLATE_AT + HP_TEMPLATE_SIZE,
			      PROT_READ | PROT_EXEC, PRIVATE_FIXED, template_fd, 0, err)) < 0)
		return r;
	return map_bytes(s, at + HP_BANK_MOVED, moved, sizeof(moved), PROT_READ | PROT_EXEC, err);
}

static int map_stubs(struct stage *s, struct hp_err *err)
{
	const struct hp_plan *p = s->p;

	for (size_t k = 0; k < p->stub_page.n; k++) {
		hp_addr page = p->stub_page.v[k];
		uint8_t bytes[HP_PAGE];
		int r;

		memset(bytes, 0xcc, sizeof(bytes));
		for (size_t i = 0; i < p->n_fns; i++) {
			const struct hp_plan_fn *f = &p->fn[i];
			uint8_t stub[HP_STUB_LEN];

			if (f->method != HP_ENTRY_PUN)
				continue;
			if (hp_stub_fill(stub, f->stub,
					 p->bank[f->bank] + offsetof(struct hp_slots, first) +
						 8ull * f->slot) < 0)
				return hp_err_set(err, -HP_E_PLACE,
						  "the slot of %s is out of reach", f->old.name);
			/* It may straddle into the next page. */
			for (unsigned b = 0; b < HP_STUB_LEN; b++)
				if (HP_PAGE_DOWN(f->stub + b) == page)
					bytes[(f->stub + b) - page] = stub[b];
		}
		if ((r = map_bytes(s, page, bytes, sizeof(bytes), PROT_READ | PROT_EXEC, err)) < 0)
			return r;
	}
	return 0;
}

static int map_all(struct stage *s, int store_fd, int template_fd, struct hp_err *err)
{
	int agent_template, agent_store, r;

	if ((s->agent_fd = hp_agent_give_fd(s->a, s->memfd, err)) < 0)
		return s->agent_fd;
	if ((agent_template = hp_agent_give_fd(s->a, template_fd, err)) < 0)
		return agent_template;
	if ((agent_store = hp_agent_give_fd(s->a, store_fd, err)) < 0)
		return agent_store;
	if ((r = map_area(s, err)) < 0 || (r = map_control(s, err)) < 0)
		return r;
	for (unsigned b = 0; b < s->p->n_banks; b++)
		if ((r = map_bank(s, b, agent_template, err)) < 0)
			return r;
	if ((r = map_stubs(s, err)) < 0 ||
	    (r = hp_segments_map(&s->seg, s->p, s->a, agent_store, err)) < 0)
		return r;
	/* The agent's descriptors end with it; one that cannot be closed now is no harm. */
	(void)hp_agent_close_fd(s->a, s->agent_fd);
	(void)hp_agent_close_fd(s->a, agent_template);
	(void)hp_agent_close_fd(s->a, agent_store);
	return 0;
}

int hp_stage(struct hp_ledger **ret, const struct hp_plan *p, struct hp_agent *a, int store_fd,
	     int template_fd, struct hp_err *err)
{
	struct stage s = {.p = p, .a = a, .agent_fd = -1};
	char name[32];
	int r;

	snprintf(name, sizeof(name), "hp-patch-%.16s", p->id);
	s.memfd = memfd_create(name, MFD_CLOEXEC);
	s.l = calloc(1, sizeof(*s.l));
	if (s.memfd < 0 || !s.l)
		r = hp_err_set(err, -ENOMEM, "no memory for a ledger");
	else if ((r = hp_segments_plan(&s.seg, p, err)) >= 0 &&
		 (r = hp_own_object_make(&s.object, p, p->object, err)) >= 0 &&
		 (r = fill_ledger(&s, err)) >= 0)
		r = map_all(&s, store_fd, template_fd, err);
	hp_close(&s.memfd);
	hp_segments_free(&s.seg);
	hp_own_object_free(&s.object);
	if (r >= 0) {
		*ret = s.l;
		return 0;
	}
	if (s.l && s.used) {
		struct hp_err more;

		/* Back to nothing; what that cannot remove a recovery will. */
		if (hp_target_refresh(p->target, &more) < 0 ||
		    hp_unstage(s.l, p->target, a, &more) < 0)
			r = hp_err_prefix(err, r, "(and cleaning up failed: %.200s)", more.text);
	}
	free(s.l);
	return r;
}

static bool has_file(const struct hp_map *m, const char *id)
{
	char memfd[64];

	snprintf(memfd, sizeof(memfd), HP_MEMFD_PREFIX "%.16s", id);
	return !strncmp(m->path, memfd, strlen(memfd)) || strstr(m->path, "/" HP_TEMPLATE_FILES) ||
	       strstr(m->path, id);
}

static bool overlaps(const struct hp_map *m, hp_addr lo, hp_addr hi)
{
	return m->lo < hi && m->hi > lo;
}

/* Unmaps what is ours in [lo, hi).  @taken: it was taken as a whole first, so that memory without a
 * file is ours too, unless that failed and nothing of ours is there. */
static int unmap(const struct hp_ledger *l, const struct hp_target *t, hp_addr lo, hp_addr hi,
		 bool taken, struct hp_agent *a, struct hp_err *err)
{
	bool there = false;

	for (size_t k = 0; k < t->maps.n; k++)
		there |= overlaps(&t->maps.v[k], lo, hi) && has_file(&t->maps.v[k], l->fixed.id);
	if (!there)
		return 0;
	if (taken)
		return hp_agent_unmap(a, lo, hi - lo, err);
	for (size_t k = 0; k < t->maps.n; k++) {
		const struct hp_map *m = &t->maps.v[k];
		hp_addr from = m->lo > lo ? m->lo : lo, to = m->hi < hi ? m->hi : hi;
		int r;

		if (from >= to || !has_file(m, l->fixed.id))
			continue;
		if ((r = hp_agent_unmap(a, from, to - from, err)) < 0)
			return r;
	}
	return 0;
}

int hp_unstage(const struct hp_ledger *l, struct hp_target *t, struct hp_agent *a,
	       struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	int r = 0;

	for (unsigned i = 0; i < f->n_ranges && r >= 0; i++)
		r = unmap(l, t, f->range[i].lo, f->range[i].hi, f->range[i].lo == f->patch_lo, a,
			  err);
	return r < 0 ? r : unmap(l, t, f->area_lo, f->area_hi, true, a, err);
}

size_t hp_stage_bytes(const struct hp_ledger *l)
{
	size_t n = l->fixed.area_hi - l->fixed.area_lo;

	for (unsigned i = 0; i < l->fixed.n_ranges; i++)
		n += l->fixed.range[i].hi - l->fixed.range[i].lo;
	return n;
}
