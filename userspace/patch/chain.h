/* SPDX-License-Identifier: MIT */
/*
 * patch/chain.h – the patches on one function, one above the other.
 *
 *	F ▸ stub ▸ door ▸ block of C ─ old[] ▸ inner stub ▸ block of B ─ old[] ▸ moved head of F
 *
 * The words say what the chain is; no ledger repeats it.  The door leads to the topmost patch's
 * block, or at rest past it to the new function; each old[] word to the inner stub of the patch below,
 * the lowest one's to its own moved head.  To put a patch on top or to take one out of any place is
 * one store for each function, of an aligned word, by an instruction that the agent executes in the
 * target: a thread reads the one chain or the other, and a kill leaves one of them.  Both run the same
 * code: a patch is put in and taken out while it runs what is below it.
 */
#ifndef HP_PATCH_CHAIN_H
#define HP_PATCH_CHAIN_H

#include "arch/block.h"
#include "patch/ledger.h"

struct hp_live;

struct hp_chain {
	struct hp_link *v; /* topmost first */
	size_t n, room;
};

/* Reads the chain behind @door. It ends where a word leads to none of @ls; one that leads back to
 * itself is refused. */
int hp_chain_read(const struct hp_target *t, const struct hp_ledgers *ls, hp_addr door,
		  struct hp_chain *ret, struct hp_err *err);
void hp_chain_free(struct hp_chain *c);

/* The index of @l in @c, or c->n. */
size_t hp_chain_find(const struct hp_chain *c, const struct hp_ledger *l);

/* Where the patch above a link leads for its old code. */
static inline hp_addr hp_link_inner(const struct hp_link *k)
{
	const struct hp_ledger_fn *f = &k->l->fixed.fn[k->fn];

	return hp_inner_stub(k->l->fixed.bank[f->bank], f->slot);
}

/* Puts @lv on top wherever it is not yet; -HP_E_ENTRY when another patch is on top than the one
 * that it was planned for. */
int hp_chain_link(struct hp_live *lv, struct hp_err *err);

/* Takes @lv out.  Where it is the only patch, the entry still leads to it: lv->fn[].alone. */
int hp_chain_unlink(struct hp_live *lv, struct hp_err *err);

/* Where @lv is on top and shows its new code: leads the doors to the new functions themselves, which
 * saves each call a jump, or back through the blocks, without which no path can be shown. */
int hp_chain_bypass(struct hp_live *lv, bool on, struct hp_err *err);

/* Of a patch that is in force: whether a job was killed while its words could be written, by the maps
 * that were read last, or led elsewhere than at rest; and the end of what it began. */
bool hp_chain_is_left(const struct hp_ledger *l, const struct hp_target *t);
int hp_chain_rest(struct hp_live *lv, struct hp_err *err);

/* The routine at HP_CODE_STORE: rdi: pairs of address and value, rsi: how many (not 0). */
#define HP_STORE_LEN 20
void hp_store_fill(uint8_t out[HP_STORE_LEN]);

#endif
