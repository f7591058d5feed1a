/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "patch/guard.h"
#include "patch/plan.h"
#include "patch/transition.h"
#include "patch/work.h"

void hp_patch_info_clear(struct hp_patch_info *p)
{
	for (size_t k = 0; k < p->n_sites; k++)
		free(p->site[k].notes);
	free(p->site);
	hp_pairs_free(&p->replace);
	hp_pairs_free(&p->ref);
	hp_pairs_free(&p->meta);
	hp_pairs_free(&p->seal);
}

void hp_patch_list_free(struct hp_patch_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		hp_patch_info_clear(&list->v[i]);
	HP_ARRAY_FREE(&list->unknown);
	HP_ARRAY_FREE(list);
}

/* A child that was forked in the middle of something stays as it was then, for good. */
static const char *state_of_copy(const struct hp_ledger *l, const struct hp_target *t)
{
	int runs_new = hp_ledger_runs_new(l, t, NULL);

	if (hp_ledger_phase(l) == HP_PHASE_RETAINED)
		return "retained";
	return runs_new < 0 ? "unknown" : runs_new ? "active" : "inactive";
}

static const char *state_of(const struct hp_ledger *l, const struct hp_target *t)
{
	if (!hp_ledger_is_own(l, t))
		return state_of_copy(l, t);
	switch (hp_ledger_phase(l)) {
	case HP_PHASE_MAPPED:
	case HP_PHASE_ENTRY:
	case HP_PHASE_LOADING:
	case HP_PHASE_LOADED:
		return "loading";
	case HP_PHASE_ACTIVE:
		return "active";
	case HP_PHASE_UNLOADING:
	case HP_PHASE_REMOVING:
		return "unloading";
	case HP_PHASE_RETAINED:
		return "retained";
	}
	return "unknown";
}

static int64_t old_calls(struct hp_work *w, struct hp_ledger *l)
{
	struct hp_live *lv;
	unsigned inside = 0;
	int r;

	if (l->fixed.mode != HP_MODE_RELAXED || hp_ledger_phase(l) != HP_PHASE_ACTIVE)
		return -1;
	if (hp_live_open(&lv, w->ops, w->t, w->looker, l, &w->ledgers, NULL) < 0)
		return -1;
	r = hp_transition_count(lv, HP_OLD, &inside, NULL, NULL);
	hp_live_free(lv);
	return r < 0 ? -1 : (int64_t)inside;
}

/* What lies over @l: told by the words in the target.  True: something does, on every function. */
static bool superseded(struct hp_work *w, struct hp_ledger *l, struct hp_patch_info *p)
{
	size_t covered = 0;

	for (size_t i = 0; i < p->n_sites; i++) {
		struct hp_chain c = {0};
		size_t k;

		if (hp_chain_read(w->t, &w->ledgers, l->fixed.fn[i].door, &c, NULL) < 0)
			continue;
		k = hp_chain_find(&c, l);
		if (k && k < c.n) {
			memcpy(p->site[i].superseded_by, c.v[0].l->fixed.id, HP_ID_LEN);
			covered++;
		}
		hp_chain_free(&c);
	}
	return covered && covered == p->n_sites;
}

static int get_map(const struct hp_ledger *l, char asked, char own, struct hp_pairs *ret,
		   size_t *n_asked)
{
	int r = hp_ledger_get_text(l, asked, ret);

	*n_asked = ret->n;
	return r < 0 ? r : hp_ledger_get_text(l, own, ret);
}

static int describe(struct hp_work *w, struct hp_ledger *l, struct hp_patch_info *p,
		    struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	int64_t old = old_calls(w, l);

	*p = (struct hp_patch_info){
		.pid = w->t->pid,
		.loaded_wall_ns = f->loaded_wall_ns,
		.mode = f->mode,
		.inherited = !hp_ledger_is_own(l, w->t),
		.memory_bytes = hp_ledger_mapped_bytes(l),
	};
	memcpy(p->id, f->id, HP_ID_LEN); /* hp_ledgers_read() saw to its length */
	snprintf(p->comm, sizeof(p->comm), "%s", w->t->comm);
	snprintf(p->file, sizeof(p->file), "%s", f->file);
	snprintf(p->state, sizeof(p->state), "%s", state_of(l, w->t));
	if (old > 0)
		snprintf(p->detail, sizeof(p->detail), "%lld thread%s still on old code",
			 (long long)old, old == 1 ? "" : "s");
	p->site = calloc(f->n_fns, sizeof(*p->site));
	if (!p->site || get_map(l, 'r', 'R', &p->replace, &p->asked_replace) < 0 ||
	    get_map(l, 'v', 'V', &p->ref, &p->asked_ref) < 0 ||
	    hp_ledger_get_text(l, 'm', &p->meta) < 0 || hp_ledger_get_text(l, 's', &p->seal) < 0)
		return hp_err_set(err, -ENOMEM, "no memory for a list");
	for (p->n_sites = 0; p->n_sites < f->n_fns; p->n_sites++) {
		const struct hp_ledger_fn *lf = &f->fn[p->n_sites];
		const struct hp_module *m = hp_target_module_at(w->t, lf->addr);
		struct hp_site_info *s = &p->site[p->n_sites];

		*s = (struct hp_site_info){.addr = lf->addr,
					   .size = lf->size,
					   .stub = lf->stub,
					   .watchable = lf->watchable,
					   .old_calls = old};
		if (hp_ledger_phase(l) == HP_PHASE_ACTIVE)
			s->entry = hp_guard_look(w->t, lf);
		snprintf(s->new_name, sizeof(s->new_name), "%s", lf->new_name);
		snprintf(s->old_name, sizeof(s->old_name), "%s", lf->old_name);
		snprintf(s->module, sizeof(s->module), "%.255s", m ? m->path : "(unmapped)");
		snprintf(s->method, sizeof(s->method), "%s", hp_entry_method_name(lf->method));
	}
	if (hp_ledger_phase(l) == HP_PHASE_ACTIVE && superseded(w, l, p))
		snprintf(p->state, sizeof(p->state), "superseded");
	return 0;
}

static int describe_unknown(const struct hp_work *w, struct hp_patch_list *list, struct hp_err *err)
{
	for (size_t i = 0; i < w->ledgers.unknown.n; i++) {
		const struct hp_unknown_ledger *u = &w->ledgers.unknown.v[i];
		struct hp_unknown_info *info = HP_ARRAY_ADD(&list->unknown);

		if (!info)
			return hp_err_set(err, -ENOMEM, "no memory for a list");
		*info = (struct hp_unknown_info){.pid = w->t->pid, .version = u->version};
		snprintf(info->comm, sizeof(info->comm), "%s", w->t->comm);
		snprintf(info->id, sizeof(info->id), "%s", u->id);
		hp_unknown_ledger_text(u, info->detail, sizeof(info->detail));
	}
	return 0;
}

static int list_one(struct hp_ops *ops, pid_t pid, struct hp_patch_list *list, struct hp_err *err)
{
	struct hp_work w;
	int r = hp_work_open(&w, ops, pid, -1, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < w.ledgers.n && r >= 0; i++) {
		struct hp_patch_info *p = HP_ARRAY_ADD(list);

		r = p ? describe(&w, w.ledgers.v[i], p, err)
		      : hp_err_set(err, -ENOMEM, "no memory for a list");
	}
	if (r >= 0)
		r = describe_unknown(&w, list, err);
	(void)hp_work_close(&w, NULL); /* nothing was started in the target */
	return r;
}

static int list_many(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *list,
		     struct hp_err *err)
{
	struct hp_pids pids = {0};
	struct hp_err why = {0};
	int r = hp_op_select(s, NULL, NULL, &pids, NULL, err);

	for (size_t i = 0; i < pids.n && r >= 0; i++) {
		if (!hp_op_is_patched(pids.v[i]))
			continue;
		r = list_one(ops, pids.v[i], list, &why);
		if (r >= 0)
			continue;
		if (r == -ENOMEM)
			(void)hp_err_set(err, r, "%s", why.text);
		else
			r = 0; /* it ends, runs another program, or a debugger has it: only its own */
		hp_debug("process %d is left out of the list: %s", pids.v[i], why.text);
	}
	HP_ARRAY_FREE(&pids);
	return r;
}

int hp_op_list(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *ret,
	       struct hp_err *err)
{
	struct hp_patch_list list = {0};
	bool one = s->n_pids == 1 && !s->children;
	int r = one ? list_one(ops, s->pids[0], &list, err) : list_many(ops, s, &list, err);

	if (r < 0)
		hp_patch_list_free(&list);
	else
		*ret = list;
	return r;
}
