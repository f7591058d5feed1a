/* SPDX-License-Identifier: MIT */
#include "patch/remove.h"

#include <errno.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fault.h"
#include "elf/image.h"
#include "hp/err.h"
#include "patch/census.h"
#include "patch/chain.h"
#include "patch/entry.h"
#include "patch/pointers.h"
#include "patch/unstage.h"

/* A dead word on a stack looks like a pointer until it is overwritten: looked at so often, with a
 * growing pause, before the patch is retained for it. */
#define POINTER_TRIES 7

/* The set now is all of the patch's code, not only what replaced something. */
static int whole_patch_scene(struct hp_live *lv, struct hp_err *err)
{
	const struct hp_module *m = lv->fn[0].module[HP_NEW];
	int r;

	/* Anew: in what is writable pointers into the patch are looked for. */
	if ((r = hp_maps_read(&lv->t->maps, lv->t->pid, err)) < 0 ||
	    (r = hp_live_set_scene(lv, HP_NEW, HP_PATHS, err)) < 0)
		return r;
	lv->parts.n = 0;
	for (size_t i = 0; i < m->image->n_phdrs; i++) {
		const Elf64_Phdr *ph = &m->image->phdr[i];
		struct hp_part *p;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		p = HP_ARRAY_ADD(&lv->parts);
		if (!p)
			return hp_err_set(err, -ENOMEM, "no memory for a scene");
		p->range.lo = m->bias + ph->p_vaddr;
		p->range.hi = p->range.lo + ph->p_memsz;
		p->fn = 0;
	}
	lv->scene.part = lv->parts.v;
	lv->scene.n_parts = lv->parts.n;
	return 0;
}

static bool in_own(const struct hp_live *lv, hp_addr pc)
{
	for (size_t i = 0; i < lv->n_mine; i++)
		if (hp_in(lv->own.v[i], pc))
			return true;
	return false;
}

/* One that is born while others are looked at may have been given a function of the patch to run. */
static bool born_since(struct hp_census *c, struct hp_err *err)
{
	pid_t agent = c->lv->agent ? hp_agent_tid(c->lv->agent) : 0;
	struct hp_pids tids = {0};
	bool born = hp_look_threads(c->lv->looker, agent, &tids, NULL, err) < 0;

	for (size_t i = 0; i < tids.n && !born; i++)
		born = !hp_census_find(c, tids.v[i]);
	hp_pids_free(&tids);
	return born;
}

static int threads_out(struct hp_live *lv, struct hp_err *err)
{
	struct hp_census c = {.lv = lv};
	uint64_t since = hp_now_ns();
	bool all = false;
	int r = whole_patch_scene(lv, err);

	if (r >= 0)
		r = hp_census_take(&c, err);
	while (r >= 0 && !all && hp_now_ns() < lv->deadline_ns) {
		all = true;
		for (size_t i = 0; i < c.n && r >= 0; i++) {
			struct hp_census_thread *ct = &c.v[i];
			struct hp_seen seen;

			if (ct->outside)
				continue;
			r = hp_census_look(&c, ct, &seen, err);
			ct->outside = r == HP_SEEN_GONE ||
				      (r == HP_SEEN_OUTSIDE && !in_own(lv, seen.regs.rip));
			all &= ct->outside;
		}
		if (!all) {
			hp_pause_ns(100 * HP_US);
		} else if (r >= 0 && born_since(&c, NULL)) {
			all = false;
			r = hp_census_take(&c, err);
		}
	}
	if (r >= 0)
		r = all ? 0 : hp_census_blame(&c, err);
	hp_census_free(&c);
	if (r >= 0)
		hp_live_report(lv, "threads out", since, NULL);
	return r;
}

static int unreferenced(struct hp_live *lv, bool *retained, char *detail, size_t n,
			struct hp_err *err)
{
	struct hp_pointers found = {0};

	for (unsigned try = 0; try < POINTER_TRIES; try++) {
		int r = hp_pointers_find(lv, &found, err);

		if (r < 0)
			return r;
		*retained = found.in_memory;
		if (!found.in_memory)
			return 0;
		if (!found.stacks_only)
			break;
		hp_pause_ns(HP_MS << try);
	}
	snprintf(detail, n, "%s", found.detail);
	return 0;
}

int hp_remove(struct hp_live *lv, bool discard, bool *retained, char *detail, size_t n,
	      struct hp_err *err)
{
	uint64_t since;
	int r;

	*retained = false;
	/* The entries of a retained patch are restored, and may be another patch's by now. */
	if (hp_ledger_phase(lv->l) != HP_PHASE_RETAINED &&
	    ((r = hp_ledger_set_phase(lv->l, lv->t, HP_PHASE_REMOVING, err)) < 0 ||
	     (r = hp_chain_unlink(lv, err)) < 0 || (r = hp_entry_write_all(lv, false, err)) < 0 ||
	     (r = hp_fault(HP_FAULT_ENTRIES_BACK, err)) < 0))
		return r;
	if ((r = threads_out(lv, err)) < 0 || (r = hp_fault(HP_FAULT_THREADS_OUT, err)) < 0)
		return r;
	if (!discard && (r = unreferenced(lv, retained, detail, n, err)) < 0)
		return r;
	if (*retained)
		return hp_ledger_set_phase(lv->l, lv->t, HP_PHASE_RETAINED, err);
	since = hp_now_ns();
	if ((r = hp_fault(HP_FAULT_UNREFERENCED, err)) < 0 ||
	    (r = hp_ledger_refresh(lv->l, lv->looker, err)) < 0 ||
	    (r = hp_unstage(lv->l, lv->all, lv->t, lv->agent, err)) < 0)
		return r;
	hp_live_report(lv, "unmap", since, NULL);
	return 0;
}
