/* SPDX-License-Identifier: MIT */
#include "patch/chain.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/fault.h"
#include "hp/err.h"
#include "patch/control.h"
#include "patch/live.h"
#include "target/agent.h"

/* One store in the target. */
struct store {
	uint64_t at, value;
};

struct stores {
	struct store *v;
	size_t n, room;
};

void hp_store_fill(uint8_t out[HP_STORE_LEN])
{
	static const uint8_t code[HP_STORE_LEN] = {
		0x48, 0x8b, 0x07,	/* 1: mov (%rdi),%rax */
		0x48, 0x8b, 0x57, 0x08, /*    mov 8(%rdi),%rdx */
		0x48, 0x89, 0x10,	/*    mov %rdx,(%rax) */
		0x48, 0x83, 0xc7, 0x10, /*    add $16,%rdi */
		0x48, 0xff, 0xce,	/*    dec %rsi */
		0x75, 0xed,		/*    jne 1b */
		0xc3,			/*    ret */
	};

	memcpy(out, code, sizeof(code));
}

void hp_chain_free(struct hp_chain *c)
{
	HP_ARRAY_FREE(c);
}

size_t hp_chain_find(const struct hp_chain *c, const struct hp_ledger *l)
{
	size_t i = 0;

	while (i < c->n && c->v[i].l != l)
		i++;
	return i;
}

static hp_addr word_at(const struct hp_ledger *l, unsigned fn, size_t array)
{
	const struct hp_ledger_fn *f = &l->fixed.fn[fn];

	return l->fixed.bank[f->bank] + HP_BANK_SLOTS + array + 8ull * f->slot;
}

static hp_addr old_word(const struct hp_ledger *l, unsigned fn)
{
	return word_at(l, fn, offsetof(struct hp_slots, old));
}

int hp_chain_read(const struct hp_target *t, const struct hp_ledgers *ls, hp_addr door,
		  struct hp_chain *ret, struct hp_err *err)
{
	struct hp_chain c = {0};
	const struct hp_link *link;
	hp_addr at = door;
	uint64_t word;
	int r = 0;

	while ((r = hp_mem_read(t, at, &word, sizeof(word), err)) >= 0 &&
	       (link = hp_leads_find(&ls->leads, door, word, at == door))) {
		struct hp_link *k;

		if (hp_chain_find(&c, link->l) < c.n) {
			r = hp_err_set(err, -HP_E_TARGET,
				       "the patches behind the word at 0x%llx lead round in a circle",
				       (unsigned long long)door);
			break;
		}
		k = HP_ARRAY_ADD(&c);
		if (!k) {
			r = hp_err_set(err, -ENOMEM, "no memory for a chain of patches");
			break;
		}
		*k = *link;
		at = old_word(k->l, k->fn);
	}
	if (r < 0) {
		hp_chain_free(&c);
		return r;
	}
	*ret = c;
	return 0;
}

/* --- changing it --------------------------------------------------------------------------------- */

static int add(struct stores *s, hp_addr at, uint64_t value, struct hp_err *err)
{
	struct store *x = HP_ARRAY_ADD(s);

	if (!x)
		return hp_err_set(err, -ENOMEM, "no memory for a chain of patches");
	*x = (struct store){at, value};
	return 0;
}

static bool page_seen(const struct stores *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (HP_PAGE_DOWN(s->v[k].at) == HP_PAGE_DOWN(s->v[i].at))
			return true;
	return false;
}

static int protect(struct hp_live *lv, const struct stores *s, int prot, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++)
		if (!page_seen(s, i))
			r = hp_agent_protect(lv->agent, HP_PAGE_DOWN(s->v[i].at), HP_PAGE, prot, err);
	return r;
}

static int store(struct hp_live *lv, const struct stores *s, struct hp_err *err)
{
	hp_addr code = lv->l->fixed.code, list;
	size_t room, n;
	int r = 0;

	list = hp_agent_scratch(lv->agent, &room);
	room /= sizeof(*s->v);
	for (size_t i = 0; i < s->n && r >= 0; i += n) {
		uint64_t args[2], unused;

		n = s->n - i < room ? s->n - i : room;
		args[0] = list;
		args[1] = n;
		r = hp_mem_poke(lv->t, list, s->v + i, n * sizeof(*s->v), err);
		if (r >= 0)
			r = hp_agent_call(lv->agent, code + HP_CODE_STORE, args, code + HP_CODE_BACK,
					  &unused, err);
	}
	return r;
}

/* The pages are read-only at rest, against stray writes of the target's. */
static int store_all(struct hp_live *lv, const struct stores *s, enum hp_fault_point opened,
		     enum hp_fault_point stored, struct hp_err *err)
{
	int r, back;

	if (!s->n)
		return 0;
	r = protect(lv, s, PROT_READ | PROT_WRITE, err);
	if (r >= 0 && (r = hp_fault(opened, err)) >= 0 && (r = store(lv, s, err)) >= 0)
		r = hp_fault(stored, err);
	back = protect(lv, s, PROT_READ, r < 0 ? NULL : err);
	return r < 0 ? r : back;
}

static int link_one(struct hp_live *lv, unsigned i, struct stores *s, struct hp_err *err)
{
	const struct hp_ledger_fn *f = &lv->l->fixed.fn[i];
	struct hp_chain c;
	uint64_t below;
	int r = hp_chain_read(lv->t, lv->all, f->door, &c, err);

	if (r < 0)
		return r;
	if (hp_chain_find(&c, lv->l) == c.n) {
		r = hp_mem_read(lv->t, old_word(lv->l, i), &below, sizeof(below), err);
		if (r >= 0 && (!c.n || below != hp_link_inner(&c.v[0])))
			r = hp_err_set(err, -HP_E_ENTRY,
				       "the patches on %s are not those that were planned for",
				       f->old_name);
		if (r >= 0)
			r = add(s, f->door, hp_live_block(lv, i) + hp_path_offset(HP_PATH_OLD), err);
	}
	hp_chain_free(&c);
	return r;
}

int hp_chain_link(struct hp_live *lv, struct hp_err *err)
{
	struct stores s = {0};
	int r = 0;

	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++)
		r = link_one(lv, i, &s, err);
	if (r >= 0)
		r = store_all(lv, &s, HP_FAULT_CHAIN_OPEN, HP_FAULT_CHAIN_STORED, err);
	HP_ARRAY_FREE(&s);
	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++)
		lv->fn[i].top = true;
	return r;
}

/* What the door says of a patch when it is the topmost: what its inner stub's word said, or shorter. */
static int door_word(const struct hp_live *lv, const struct hp_link *k, uint64_t *ret,
		     struct hp_err *err)
{
	const struct hp_ledger_fn *f = &k->l->fixed.fn[k->fn];
	hp_addr block = hp_block_addr(k->l->fixed.bank[f->bank], f->slot);
	int r = hp_mem_read(lv->t, word_at(k->l, k->fn, offsetof(struct hp_slots, first)), ret,
			    sizeof(*ret), err);

	if (r >= 0 && *ret == block + hp_path_offset(HP_PATH_NEW))
		*ret = f->new_addr;
	return r;
}

static int unlink_one(struct hp_live *lv, unsigned i, struct stores *s, struct hp_err *err)
{
	const struct hp_ledger_fn *f = &lv->l->fixed.fn[i];
	struct hp_chain c;
	const struct hp_link *above, *below;
	uint64_t word = 0;
	size_t k;
	int r = hp_chain_read(lv->t, lv->all, f->door, &c, err);

	if (r < 0)
		return r;
	k = hp_chain_find(&c, lv->l);
	above = k && k < c.n ? &c.v[k - 1] : NULL;
	below = k + 1 < c.n ? &c.v[k + 1] : NULL;
	lv->fn[i].alone = k == 0 && c.n == 1;
	if (above) {
		const struct hp_ledger_fn *af = &above->l->fixed.fn[above->fn];

		word = below ? hp_link_inner(below)
			     : hp_moved_addr(above->l->fixed.bank[af->bank], af->slot);
		r = add(s, old_word(above->l, above->fn), word, err);
	} else if (k == 0 && below) {
		r = door_word(lv, below, &word, err);
		if (r >= 0)
			r = add(s, f->door, word, err);
	}
	hp_chain_free(&c);
	return r;
}

int hp_chain_unlink(struct hp_live *lv, struct hp_err *err)
{
	struct stores s = {0};
	int r = 0;

	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++)
		r = unlink_one(lv, i, &s, err);
	if (r >= 0)
		r = store_all(lv, &s, HP_FAULT_CHAIN_OPEN, HP_FAULT_CHAIN_STORED, err);
	HP_ARRAY_FREE(&s);
	return r;
}

static int bypass_one(struct hp_live *lv, unsigned i, bool on, struct stores *s, struct hp_err *err)
{
	const struct hp_ledger_fn *f = &lv->l->fixed.fn[i];
	hp_addr path = hp_live_block(lv, i) + hp_path_offset(HP_PATH_NEW);
	uint64_t now;
	int r = hp_mem_read(lv->t, f->door, &now, sizeof(now), err);

	if (r < 0 || now != (on ? path : f->new_addr))
		return r;
	return add(s, f->door, on ? f->new_addr : path, err);
}

int hp_chain_bypass(struct hp_live *lv, bool on, struct hp_err *err)
{
	struct stores s = {0};
	int r = 0;

	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++)
		if (lv->fn[i].top)
			r = bypass_one(lv, i, on, &s, err);
	if (r >= 0)
		r = store_all(lv, &s, HP_FAULT_BYPASS_OPEN, HP_FAULT_BYPASS_STORED, err);
	HP_ARRAY_FREE(&s);
	return r;
}

/* --- what a killed job leaves ---------------------------------------------------------------------- */

static bool is_writable(const struct hp_target *t, hp_addr a)
{
	const struct hp_map *m = hp_maps_find(&t->maps, a);

	return m && (m->prot & PROT_WRITE);
}

/* Calls are counted, or were to be; or they go through the block. */
static bool is_shown(const struct hp_ledger *l, unsigned fn, const struct hp_target *t)
{
	const struct hp_ledger_fn *f = &l->fixed.fn[fn];
	hp_addr block = hp_block_addr(l->fixed.bank[f->bank], f->slot);
	uint64_t first, door;

	if (hp_mem_read(t, word_at(l, fn, offsetof(struct hp_slots, first)), &first, sizeof(first),
			NULL) < 0 ||
	    hp_mem_read(t, f->door, &door, sizeof(door), NULL) < 0)
		return false;
	return first != block + hp_path_offset(HP_PATH_NEW) || door - block < HP_BLOCK_SIZE;
}

bool hp_chain_is_left(const struct hp_ledger *l, const struct hp_target *t)
{
	for (unsigned i = 0; i < l->fixed.n_fns; i++)
		if (is_writable(t, l->fixed.fn[i].door) || is_writable(t, old_word(l, i)) ||
		    is_shown(l, i, t))
			return true;
	return false;
}

int hp_chain_rest(struct hp_live *lv, struct hp_err *err)
{
	struct stores open = {0};
	int r = hp_chain_bypass(lv, false, err);

	if (r >= 0 && (r = hp_live_show_second(lv, HP_PATH_NEW, err)) >= 0 &&
	    (r = hp_live_show_first(lv, HP_PATH_NEW, err)) >= 0)
		r = hp_chain_bypass(lv, true, err);

	for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++)
		if ((r = add(&open, lv->l->fixed.fn[i].door, 0, err)) >= 0)
			r = add(&open, old_word(lv->l, i), 0, err);
	if (r >= 0)
		r = protect(lv, &open, PROT_READ, err);
	HP_ARRAY_FREE(&open);
	return r;
}
