/* SPDX-License-Identifier: MIT */
/*
 * What is on the planned functions already: nothing, patches of hp's, or somebody else's bytes.  The
 * entry itself tells, for a ledger may be of a patch that was loaded half, or is out of use.
 */
#include <string.h>

#include "hp/err.h"
#include "patch/chain.h"
#include "patch/join.h"

/* A patch that is neither in force nor out of use is for a recovery first. */
static int refuse_half_done(const struct hp_plan *p, const struct hp_plan_fn *f,
			    const struct hp_ledgers *there, struct hp_err *err)
{
	for (size_t i = 0; i < there->n; i++) {
		const struct hp_ledger *l = there->v[i];
		enum hp_phase phase = hp_ledger_phase(l);

		if (phase != HP_PHASE_ACTIVE && phase != HP_PHASE_RETAINED &&
		    hp_ledger_is_own(l, p->target) && hp_ledger_fn_on(l, f->old.addr) >= 0)
			return hp_err_set(err, -HP_E_ENTRY,
					  "%s is on patch %.16s…, which is neither loaded nor "
					  "unloaded: unload that first",
					  f->old.name, l->fixed.id);
	}
	return 0;
}

static const struct hp_ledger_fn *jump_of(const struct hp_ledgers *there, hp_addr addr,
					  const uint8_t now[HP_JUMP_LEN])
{
	for (size_t i = 0; i < there->n; i++) {
		int k = hp_ledger_fn_on(there->v[i], addr);

		if (k >= 0 && hp_ledger_phase(there->v[i]) != HP_PHASE_RETAINED &&
		    !memcmp(there->v[i]->fixed.fn[k].jump, now, HP_JUMP_LEN))
			return &there->v[i]->fixed.fn[k];
	}
	return NULL;
}

static int join_one(const struct hp_plan *p, struct hp_plan_fn *f, const struct hp_ledgers *there,
		    struct hp_err *err)
{
	uint8_t now[HP_JUMP_LEN];
	struct hp_chain c;
	int r = refuse_half_done(p, f, there, err);

	f->joined = NULL;
	if (r < 0 || (r = hp_mem_read(p->target, f->old.addr, now, sizeof(now), err)) < 0)
		return r;
	if (!memcmp(now, f->head.bytes, sizeof(now)))
		return 0;
	f->joined = jump_of(there, f->old.addr, now);
	if (!f->joined)
		return hp_err_set(err, -HP_E_ENTRY,
				  "the first bytes of %s are not those of its file (%s): "
				  "another tool has changed them (a uprobe, a tracer)",
				  f->old.name, f->old.module->path);
	if ((r = hp_chain_read(p->target, there, f->joined->door, &c, err)) < 0)
		return r;
	if (c.n)
		f->below = c.v[0];
	else
		r = hp_err_set(err, -HP_E_ENTRY, "what is on %s leads to no patch that is known",
			       f->old.name);
	hp_chain_free(&c);
	return r;
}

int hp_plan_join(struct hp_plan *p, const struct hp_ledgers *there, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < p->n_fns && r >= 0; i++)
		r = join_one(p, &p->fn[i], there, err);
	return r;
}
