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

#include "arch/block.h"
#include "base/fault.h"
#include "base/fd.h"
#include "hp/err.h"
#include "patch/chain.h"
#include "patch/control.h"
#include "patch/ledger_fill.h"
#include "patch/own_object.h"
#include "patch/segments.h"
#include "patch/unstage.h"
#include "target/borrow.h"

#define PRIVATE_FIXED (MAP_PRIVATE | MAP_FIXED_NOREPLACE)
#define PRIVATE_OVER  (MAP_PRIVATE | MAP_FIXED) /* over what is ours already */

struct stage {
	const struct hp_plan *p;
	struct hp_agent *a;
	struct hp_ledger *l;
	int memfd;     /* ours */
	int agent_fd;  /* the agent's */
	uint64_t used; /* bytes of the memfd */
	struct hp_segments seg;
	struct hp_own_object object;
};

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
	hp_ledger_pack(s->l, bytes);
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
	hp_store_fill(page + HP_CODE_STORE);
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
		/* In one bank: it reaches. */
		(void)hp_stub_fill(room + (hp_inner_stub(p->bank[bank], f->slot) - at),
				   hp_inner_stub(p->bank[bank], f->slot),
				   p->bank[bank] + offsetof(struct hp_slots, first) +
					   8ull * f->slot);
	}
	return 0;
}

/* At rest on the old side. */
static hp_addr path_at_first(const struct hp_plan *p, const struct hp_plan_fn *f)
{
	return hp_block_addr(p->bank[f->bank], f->slot) + hp_path_offset(HP_PATH_OLD);
}

static int map_doors(struct stage *s, unsigned bank, struct hp_err *err)
{
	const struct hp_plan *p = s->p;
	hp_addr page = p->bank[bank] + HP_BANK_DOORS;
	uint64_t door[HP_BANK_FNS] = {0};
	bool any = false;

	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];

		if (f->bank != bank || f->joined)
			continue;
		door[f->slot] = path_at_first(p, f);
		any = true;
	}
	return any ? map_bytes(s, page, door, sizeof(door), PROT_READ, err) : 0;
}

static int map_bank(struct stage *s, unsigned bank, int template_fd, struct hp_err *err)
{
	static uint8_t moved[HP_BANK_SIZE - HP_BANK_MOVED];
	const struct hp_plan *p = s->p;
	hp_addr at = p->bank[bank];
	struct hp_slots slots = {.gate = p->gate, .gate_back = p->gate_back, .table = p->table};
	int r;

	memset(moved, 0xcc, sizeof(moved));
	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];

		if (f->bank != bank)
			continue;
		slots.first[f->slot] = slots.second[f->slot] = path_at_first(p, f);
		slots.old[f->slot] =
			f->joined ? hp_link_inner(&f->below) : hp_moved_addr(at, f->slot);
		slots.new_[f->slot] = p->bias + f->new_vaddr;
	}
	if ((r = fill_moved(s, bank, moved, err)) < 0 ||
	    (r = map_bytes(s, at + HP_BANK_SLOTS, &slots, sizeof(slots), PROT_READ, err)) < 0 ||
	    (r = map_doors(s, bank, err)) < 0 ||
	    (r = hp_agent_map(s->a, at + HP_BANK_FILE, HP_TEMPLATE_AT + HP_TEMPLATE_SIZE,
			      PROT_READ | PROT_EXEC, PRIVATE_FIXED, template_fd, 0, err)) < 0)
		return r;
	return map_bytes(s, at + HP_BANK_MOVED, moved, sizeof(moved), PROT_READ | PROT_EXEC, err);
}

/* The part of a stub that lies in @page, which it may straddle; false: none does. */
static bool part_in(const struct hp_plan_fn *f, hp_addr page, hp_addr *lo, hp_addr *hi)
{
	*lo = f->stub > page ? f->stub : page;
	*hi = f->stub + HP_STUB_LEN < page + HP_PAGE ? f->stub + HP_STUB_LEN : page + HP_PAGE;
	return !f->joined && *lo < *hi;
}

static int map_stub_page(struct stage *s, const struct hp_plan_page *page, struct hp_err *err)
{
	const struct hp_plan *p = s->p;
	uint8_t bytes[HP_PAGE];

	memset(bytes, 0xcc, sizeof(bytes));
	for (size_t i = 0; i < p->n_fns; i++) {
		const struct hp_plan_fn *f = &p->fn[i];
		uint8_t stub[HP_STUB_LEN];
		hp_addr lo, hi;
		int r;

		if (!part_in(f, page->at, &lo, &hi))
			continue;
		if (hp_stub_fill(stub, f->stub, f->door) < 0)
			return hp_err_set(err, -HP_E_PLACE, "the door of %s is out of reach",
					  f->old.name);
		memcpy(bytes + (lo - page->at), stub + (lo - f->stub), hi - lo);
		/* Nobody runs what lies there: it is void, or a stub of a patch out of use. */
		if (page->there &&
		    (r = hp_mem_poke(p->target, lo, bytes + (lo - page->at), hi - lo, err)) < 0)
			return r;
	}
	return page->there
		       ? 0
		       : map_bytes(s, page->at, bytes, sizeof(bytes), PROT_READ | PROT_EXEC, err);
}

static int map_stubs(struct stage *s, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < s->p->stub_page.n && r >= 0; i++)
		r = map_stub_page(s, &s->p->stub_page.v[i], err);
	return r;
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
	if ((r = map_area(s, err)) < 0 || (r = hp_fault(HP_FAULT_MAP_LEDGER, err)) < 0 ||
	    (r = map_control(s, err)) < 0 || (r = hp_fault(HP_FAULT_MAP_CONTROL, err)) < 0)
		return r;
	for (unsigned b = 0; b < s->p->n_banks; b++)
		if ((r = map_bank(s, b, agent_template, err)) < 0)
			return r;
	if ((r = hp_fault(HP_FAULT_MAP_BANKS, err)) < 0 || (r = map_stubs(s, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_MAP_STUBS, err)) < 0 ||
	    (r = hp_segments_map(&s->seg, s->p, s->a, agent_store, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_MAP_PATCH, err)) < 0)
		return r;
	/* The agent's descriptors end with it; one that cannot be closed now is no harm. */
	(void)hp_agent_close_fd(s->a, s->agent_fd);
	(void)hp_agent_close_fd(s->a, agent_template);
	(void)hp_agent_close_fd(s->a, agent_store);
	return 0;
}

int hp_stage(struct hp_ledger **ret, const struct hp_plan *p, const struct hp_ledgers *there,
	     struct hp_agent *a, int store_fd, int template_fd, struct hp_err *err)
{
	struct stage s = {.p = p, .a = a, .agent_fd = -1};
	char name[32];
	int r;

	snprintf(name, sizeof(name), "hp-patch-%.16s", p->id);
	s.memfd = hp_memfd(name, 0);
	s.l = calloc(1, sizeof(*s.l));
	if (s.memfd < 0 || !s.l)
		r = hp_err_set(err, -ENOMEM, "no memory for a ledger");
	else if ((r = hp_segments_plan(&s.seg, p, err)) >= 0 &&
		 (r = hp_own_object_make(&s.object, p, p->object, err)) >= 0 &&
		 (r = hp_ledger_fill(s.l, p, &s.object, err)) >= 0)
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
		    hp_unstage(s.l, there, p->target, a, &more) < 0)
			r = hp_err_prefix(err, r, "(and cleaning up failed: %.200s)", more.text);
	}
	free(s.l);
	return r;
}
