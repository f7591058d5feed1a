/* SPDX-License-Identifier: MIT */
/* Looking at functions that need not be patched: no agent, no probe, no write. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/code.h"
#include "base/array.h"
#include "hp/err.h"
#include "patch/coroutines.h"
#include "patch/work.h"
#include "target/resolve.h"

#define LOOK_TRIES 20

struct view {
	struct hp_work w;
	struct {
		struct hp_part *v;
		size_t n, room;
	} parts;
	char (*name)[256];
	size_t n_fns;
};

void hp_explain_free(struct hp_explain *e)
{
	for (size_t i = 0; i < e->n; i++)
		hp_stack_free(&e->v[i].stack);
	HP_ARRAY_FREE(e);
}

static int add_parts(struct view *v, hp_addr bias, const struct hp_flow *f, unsigned fn)
{
	for (size_t i = 0; i < f->n_parts; i++) {
		struct hp_part *p = HP_ARRAY_ADD(&v->parts);

		if (!p)
			return -ENOMEM;
		*p = (struct hp_part){{f->part[i].lo + bias, f->part[i].hi + bias}, fn};
	}
	return 0;
}

static int add_code(struct view *v, struct hp_module *m, const char *name, uint64_t vaddr,
		    uint64_t size, unsigned fn, struct hp_err *err)
{
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	struct hp_flow flow;
	int r;

	if ((r = hp_module_symtab(m, &st, err)) < 0 || (r = hp_module_cfi(m, &cfi, err)) < 0 ||
	    (r = hp_flow_read(&flow, m->image, st, cfi, name, vaddr, size, err)) < 0)
		return r;
	r = add_parts(v, m->bias, &flow, fn);
	hp_flow_free(&flow);
	return r < 0 ? hp_err_set(err, r, "no memory for %s", name) : 0;
}

/* What patches have put in the place of @old, or with 0 what they call @spec; how many there are. */
static int add_new_code(struct view *v, hp_addr old, const char *spec, unsigned fn,
			struct hp_err *err)
{
	int found = 0;

	for (size_t i = 0; i < v->w.ledgers.n; i++) {
		const struct hp_ledger_fixed *f = &v->w.ledgers.v[i]->fixed;

		for (unsigned k = 0; k < f->n_fns; k++) {
			const struct hp_ledger_fn *lf = &f->fn[k];
			struct hp_module *m = hp_target_module_at(v->w.t, lf->new_addr);
			int r;

			if (!m || (old ? lf->addr != old : strcmp(lf->new_name, spec) != 0))
				continue;
			r = add_code(v, m, lf->new_name, lf->new_addr - m->bias, lf->new_size, fn,
				     err);
			if (r < 0)
				return r;
			found++;
		}
	}
	return found;
}

static int add_function(struct view *v, const char *spec, unsigned fn, struct hp_err *err)
{
	struct hp_resolved at;
	int r = hp_resolve_function(v->w.t, spec, &at, err), found;

	snprintf(v->name[fn], sizeof(v->name[fn]), "%s", spec);
	if (r == -HP_E_NO_SYMBOL) {
		found = add_new_code(v, 0, spec, fn, NULL);
		return found > 0 ? 0 : r;
	}
	if (r < 0 || (r = add_code(v, at.module, at.name, at.vaddr, at.size, fn, err)) < 0)
		return r;
	r = add_new_code(v, at.addr, spec, fn, err);
	return r < 0 ? r : 0;
}

static int look_at(struct view *v, pid_t tid, struct hp_explain *ret, struct hp_err *err)
{
	struct hp_scene scene = {.part = v->parts.v, .n_parts = v->parts.n};
	struct hp_explain_thread *et;
	struct hp_seen seen = {.verdict = HP_SEEN_AGAIN};
	int r = 0;

	for (unsigned try = 0; try < LOOK_TRIES && seen.verdict == HP_SEEN_AGAIN; try++)
		if ((r = hp_look(v->w.looker, tid, &scene, &seen, NULL, NULL, err)) < 0)
			return r;
	if (seen.verdict == HP_SEEN_GONE)
		return 0;
	ret->threads++;
	if (seen.verdict == HP_SEEN_AGAIN || seen.verdict == HP_SEEN_UNKNOWN)
		ret->unknown++;
	if (seen.verdict != HP_SEEN_INSIDE)
		return 0;
	et = HP_ARRAY_ADD(ret);
	if (!et)
		return hp_err_set(err, -ENOMEM, "no memory for a stack");
	*et = (struct hp_explain_thread){.tid = tid};
	snprintf(et->fn, sizeof(et->fn), "%s", v->name[seen.call[seen.n_calls - 1].fn]);
	hp_thread_name(tid, et->name, sizeof(et->name));
	r = hp_look_stack(v->w.looker, tid, &et->stack, err);
	/* It may have left since. */
	return r == -ESRCH ? 0 : r;
}

int hp_op_explain(struct hp_ops *ops, pid_t pid, const char *const *fns, size_t n_fns,
		  struct hp_explain *ret, struct hp_err *err)
{
	struct hp_explain e = {0};
	struct hp_pids tids = {0};
	struct view v = {.n_fns = n_fns};
	int r = hp_work_open(&v.w, ops, pid, NULL, HP_WORK_LOOKS, HP_DEFAULT_TIMEOUT_NS, err);

	if (r < 0)
		return r;
	v.name = calloc(n_fns, sizeof(*v.name));
	if (!v.name)
		r = hp_err_set(err, -ENOMEM, "no memory for names");
	for (size_t i = 0; i < n_fns && r >= 0; i++)
		r = add_function(&v, fns[i], (unsigned)i, err);
	if (r >= 0)
		r = hp_look_threads(v.w.looker, 0, &tids, NULL, err);
	for (size_t i = 0; i < tids.n && r >= 0; i++)
		r = look_at(&v, tids.v[i], &e, err);
	if (r >= 0)
		(void)hp_coroutines(v.w.t, e.detail, sizeof(e.detail)); /* else it stays empty */
	hp_pids_free(&tids);
	HP_ARRAY_FREE(&v.parts);
	free(v.name);
	(void)hp_work_close(&v.w, NULL); /* nothing was started in the target */
	if (r < 0)
		hp_explain_free(&e);
	else
		*ret = e;
	return r;
}
