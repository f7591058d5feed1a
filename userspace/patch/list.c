/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "patch/chain.h"
#include "patch/guard.h"
#include "patch/list.h"
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
	return 0;
}

/* @p: of the patches of @w, in their order. */
static void mark_below(const struct hp_work *w, const struct hp_chain *c, struct hp_patch_info *p)
{
	for (size_t k = 1; k < c->n; k++) {
		size_t i = 0;

		while (w->ledgers.v[i] != c->v[k].l)
			i++;
		if (hp_ledger_phase(c->v[k].l) == HP_PHASE_ACTIVE)
			memcpy(p[i].site[c->v[k].fn].superseded_by, c->v[0].l->fixed.id, HP_ID_LEN);
	}
}

static bool is_superseded(const struct hp_patch_info *p)
{
	size_t covered = 0;

	while (covered < p->n_sites && *p->site[covered].superseded_by)
		covered++;
	return covered && covered == p->n_sites;
}

/* What lies over what is told by the words in the target, each of which is followed once. */
static void mark_superseded(const struct hp_work *w, struct hp_patch_info *p)
{
	const struct hp_leads *leads = &w->ledgers.leads;
	struct hp_chain c;

	for (size_t i = 0; i < leads->n; i++) {
		if ((i && leads->v[i].door == leads->v[i - 1].door) ||
		    hp_chain_read(w->t, &w->ledgers, leads->v[i].door, &c, NULL) < 0)
			continue;
		mark_below(w, &c, p);
		hp_chain_free(&c);
	}
	for (size_t i = 0; i < w->ledgers.n; i++)
		if (is_superseded(&p[i]))
			snprintf(p[i].state, sizeof(p[i].state), "superseded");
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

int hp_list_process(struct hp_ops *ops, pid_t pid, struct hp_patch_list *ret, struct hp_err *err)
{
	struct hp_patch_list list = {0};
	struct hp_work w;
	int r = hp_work_open(&w, ops, pid, NULL, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < w.ledgers.n && r >= 0; i++) {
		struct hp_patch_info *p = HP_ARRAY_ADD(&list);

		r = p ? describe(&w, w.ledgers.v[i], p, err)
		      : hp_err_set(err, -ENOMEM, "no memory for a list");
	}
	if (r >= 0 && list.v)
		mark_superseded(&w, list.v);
	if (r >= 0)
		r = describe_unknown(&w, &list, err);
	(void)hp_work_close(&w, NULL); /* nothing was started in the target */
	if (r < 0)
		hp_patch_list_free(&list);
	else
		*ret = list;
	return r;
}
