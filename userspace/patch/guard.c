/* SPDX-License-Identifier: MIT */
/*
 * One byte makes most entries right again: the four behind it are the jump's in any case, unless the
 * page was dropped under an entry of five written bytes.  A store over the int3 of a uprobe is safe:
 * a thread that has trapped goes on in the old code by the uprobe's copy of the instruction, and the
 * kernel takes away only an int3 (verify_opcode()).
 */
#include "patch/guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "patch/entry.h"
#include "patch/work.h"

#define INT3 0xcc

const char *hp_guard_name(enum hp_guard_found f)
{
	static const char *const name[HP_GUARD_FOUNDS] = {[HP_GUARD_RIGHT] = "right",
					   [HP_GUARD_PROBE] = "probe",
					   [HP_GUARD_DEBUGGER] = "debugger",
					   [HP_GUARD_ORIGINAL] = "original",
					   [HP_GUARD_OTHER] = "other",
					   [HP_GUARD_UNREADABLE] = "unreadable"};

	return name[f];
}

static bool tail_is_right(const struct hp_ledger_fn *f, const uint8_t now[HP_JUMP_LEN])
{
	return !memcmp(now + 1, f->jump + 1, HP_JUMP_LEN - 1);
}

enum hp_guard_found hp_guard_look(const struct hp_target *t, const struct hp_ledger_fn *f)
{
	uint8_t now[HP_JUMP_LEN];

	if (hp_mem_read(t, f->addr, now, sizeof(now), NULL) < 0)
		return HP_GUARD_UNREADABLE;
	if (!memcmp(now, f->jump, sizeof(now)))
		return HP_GUARD_RIGHT;
	if (!tail_is_right(f, now) && memcmp(now + 1, f->orig + 1, sizeof(now) - 1))
		return HP_GUARD_OTHER;
	if (now[0] == INT3)
		return hp_target_tracer(t) ? HP_GUARD_DEBUGGER : HP_GUARD_PROBE;
	return now[0] == f->orig[0] ? HP_GUARD_ORIGINAL : HP_GUARD_OTHER;
}

/* False: it takes more than a byte, or is nothing of which hp knows the rest. */
static bool mend_byte(const struct hp_target *t, const struct hp_ledger_fn *f,
		      enum hp_guard_found found)
{
	uint8_t now[HP_JUMP_LEN];

	return (found == HP_GUARD_PROBE || found == HP_GUARD_ORIGINAL) &&
	       hp_mem_read(t, f->addr, now, sizeof(now), NULL) >= 0 && tail_is_right(f, now) &&
	       hp_mem_poke(t, f->addr, f->jump, 1, NULL) >= 0 &&
	       hp_guard_look(t, f) == HP_GUARD_RIGHT;
}

/* As a load writes it: with a hold, or all threads stopped, and an agent that has the cores
 * synchronised. */
static int mend_bytes(struct hp_ops *ops, pid_t pid, const char *id, struct hp_err *err)
{
	struct hp_ledger *l;
	struct hp_live *lv;
	struct hp_work w;
	int r, left;

	r = hp_work_open(&w, ops, pid, NULL, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err);
	if (r < 0)
		return r;
	if ((r = hp_ledgers_pick(&w.ledgers, id, &l, err)) >= 0 &&
	    (r = hp_work_touch(&w, err)) >= 0 && (r = hp_work_live(&w, l, 0, &lv, err)) >= 0) {
		r = hp_entry_write_all(lv, true, err);
		hp_live_free(lv);
	}
	left = hp_work_close(&w, r < 0 ? NULL : err);
	return r < 0 ? r : left;
}

static int add_site(struct hp_guard *g, const struct hp_target *t, const struct hp_ledger_fn *f,
		    enum hp_guard_found found, bool mended)
{
	struct hp_guard_site *s = HP_ARRAY_ADD(&g->sites);

	if (!s)
		return -ENOMEM;
	*s = (struct hp_guard_site){
		.pid = t->pid, .addr = f->addr, .found = found, .mended = mended};
	snprintf(s->fn, sizeof(s->fn), "%s", f->old_name);
	return 0;
}

/* Of one process, when many are looked at: each may say that it has any number. */
#define SITES_MAX 64

/* A function with several patches has one entry. */
static bool told(const struct hp_guard *g, size_t from, hp_addr addr)
{
	for (size_t i = from; i < g->sites.n; i++)
		if (g->sites.v[i].addr == addr)
			return true;
	return false;
}

static int guard_patch(struct hp_ops *ops, const struct hp_target *t, const struct hp_ledger *l,
		       size_t from, struct hp_guard *g, struct hp_err *err)
{
	bool more = false;
	int r = 0;

	for (unsigned i = 0; i < l->fixed.n_fns && r == 0; i++) {
		const struct hp_ledger_fn *f = &l->fixed.fn[i];
		enum hp_guard_found found = hp_guard_look(t, f);
		bool mended;

		if (found == HP_GUARD_RIGHT || told(g, from, f->addr))
			continue;
		if (!ops && g->sites.n - from == SITES_MAX)
			break;
		mended = ops && mend_byte(t, f, found);
		more |= !mended && found == HP_GUARD_ORIGINAL;
		r = add_site(g, t, f, found, mended);
	}
	if (r < 0)
		return hp_err_set(err, r, "no memory to look at the entries");
	if (!ops || !more)
		return 0;
	/* Where nothing was changed the next look tells that they are as they were. */
	r = mend_bytes(ops, t->pid, l->fixed.id, err);
	if (r == -HP_E_PARTIAL)
		return r;
	for (unsigned i = 0; i < l->fixed.n_fns; i++)
		for (size_t k = from; k < g->sites.n; k++)
			if (g->sites.v[k].addr == l->fixed.fn[i].addr)
				g->sites.v[k].mended =
					hp_guard_look(t, &l->fixed.fn[i]) == HP_GUARD_RIGHT;
	return 0;
}

/* One that cannot be looked at is left out: it ended, or somebody will tell when it is worked on. */
int hp_guard_process(struct hp_ops *ops, pid_t pid, struct hp_guard *g, struct hp_err *err)
{
	struct hp_guard_target *gt;
	struct hp_ledgers ls = {0};
	struct hp_target *t;
	size_t from = g->sites.n;
	int r = 0;

	if (hp_target_open(&t, pid, NULL) < 0)
		return 0;
	if (hp_ledgers_read(t, &ls, NULL) < 0 || hp_target_check(t, NULL) < 0) {
		hp_ledgers_free(&ls);
		hp_target_free(t);
		return 0;
	}
	gt = HP_ARRAY_ADD(&g->targets);
	if (gt)
		*gt = (struct hp_guard_target){.pid = pid, .patches = ls.n + ls.unknown.n};
	else
		r = hp_err_set(err, -ENOMEM, "no memory to look at the entries");
	for (size_t i = 0; i < ls.n && r == 0; i++)
		if (hp_ledger_phase(ls.v[i]) == HP_PHASE_ACTIVE)
			r = guard_patch(ops, t, ls.v[i], from, g, err);
	hp_ledgers_free(&ls);
	hp_target_free(t);
	return r;
}

int hp_op_guard_mend(struct hp_ops *ops, pid_t pid, struct hp_guard *ret, struct hp_err *err)
{
	struct hp_guard g = {0};
	int r = hp_guard_process(ops, pid, &g, err);

	if (r < 0)
		hp_guard_free(&g);
	else
		*ret = g;
	return r;
}

void hp_guard_free(struct hp_guard *g)
{
	HP_ARRAY_FREE(&g->targets);
	HP_ARRAY_FREE(&g->sites);
}
