/* SPDX-License-Identifier: MIT */
/*
 * A load: everything that can be refused is refused before the first write; then map, hook, entry,
 * transition, hook.  What fails after the first write is undone here, by the same steps that an
 * unload takes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "elf/reader.h"
#include "hp/err.h"
#include "patch/calls.h"
#include "patch/chain.h"
#include "patch/coroutines.h"
#include "patch/depend.h"
#include "patch/entry.h"
#include "patch/plan.h"
#include "patch/remove.h"
#include "patch/stacks.h"
#include "patch/stage.h"
#include "patch/store.h"
#include "patch/transition.h"
#include "patch/unload.h"
#include "patch/unstage.h"

#define PLACE_TRIES 5

struct load {
	struct hp_work w;
	const struct hp_load_request *req;
	char id[HP_ID_LEN + 1];
	int copy_fd, store_fd, template_fd;
	struct hp_plan *plan;
	struct hp_ledger *ledger;
	struct hp_live *lv;
};

static int refuse_changed(const struct load *l, struct hp_err *err)
{
	if (!l->req->id || !strcmp(l->req->id, l->id))
		return 0;
	return hp_err_set(err, -HP_E_NO_FILE, "%s is patch %.16s…, not %.16s… any more",
			  l->req->file, l->id, l->req->id);
}

/* A child that was forked in the middle of a load runs old code for good, on a copy of what was
 * mapped by then. */
static bool is_dead_copy(const struct load *l, const struct hp_ledger *x)
{
	return !hp_ledger_is_own(x, l->w.t) && hp_ledger_runs_new(x, l->w.t, NULL) == 0;
}

/* 1: there is a dead copy of it. */
static int refuse_loaded(const struct load *l, struct hp_err *err)
{
	int dead = 0;

	for (size_t i = 0; i < l->w.ledgers.n; i++) {
		const struct hp_ledger *x = l->w.ledgers.v[i];

		if (strcmp(x->fixed.id, l->id) || hp_ledger_phase(x) == HP_PHASE_RETAINED)
			continue;
		if (!is_dead_copy(l, x))
			return hp_err_set(err, -HP_E_ALREADY, "patch %s already loaded", l->id);
		dead = 1;
	}
	return dead;
}

static int make_plan(struct load *l, struct hp_err *err)
{
	uint64_t since = hp_now_ns();
	char blind[256];
	int r = hp_plan_make(&l->plan, l->w.t, l->req, l->id, &l->w.file, err);

	if (r < 0)
		return r;
	l->plan->probes = l->w.ops->watch != NULL;
	l->plan->seal = &l->w.seal;
	if ((r = hp_ledgers_refuse_full(&l->w.ledgers, l->plan->n_fns, l->w.t, err)) < 0 ||
	    (r = hp_depend_check_load(&l->plan->info.meta, &l->w.ledgers, err)) < 0 ||
	    (r = hp_plan_place(l->plan, &l->w.ledgers, err)) < 0 ||
	    (r = hp_target_room(l->w.t, hp_plan_bytes(l->plan) + HP_AGENT_BYTES, err)) < 0 ||
	    (r = hp_target_files_check(l->w.t, err)) < 0)
		return r;
	if (l->req->mode != HP_MODE_RELAXED && (r = hp_stacks_check(&l->w, err)) < 0)
		return r;
	hp_work_report(&l->w, "plan", since, NULL);
	if (hp_coroutines(l->w.t, blind, sizeof(blind)))
		hp_work_report(&l->w, "coroutines", 0, blind);
	return hp_fault(HP_FAULT_PLANNED, err);
}

static int open_work(struct load *l, struct hp_ops *ops, enum hp_work_kind kind, struct hp_err *err)
{
	const struct hp_work_patch patch = {l->copy_fd, l->req->file};
	int r = hp_work_open(&l->w, ops, l->req->pid, &patch, kind, l->req->timeout_ns, err);

	return r < 0 || kind != HP_WORK_TOUCHES ? r : hp_work_expect(&l->w, err);
}

/* Takes a dead copy out, as a person would have to. */
static int bury(struct load *l, struct hp_err *err)
{
	const struct hp_unload_request req = {.pid = l->req->pid,
					      .id = l->id,
					      .timeout_ns = l->req->timeout_ns,
					      .park_ns = l->req->park_ns};
	struct hp_unload_result done;
	struct hp_ops *ops = l->w.ops;
	int r;

	(void)hp_work_close(&l->w, NULL); /* nothing was started in the target */
	if ((r = hp_op_unload(ops, &req, &done, err)) < 0)
		return r;
	return open_work(l, ops, HP_WORK_TOUCHES, err);
}

static int prepare(struct load *l, struct hp_ops *ops, const struct hp_load_request *req,
		   enum hp_work_kind kind, struct hp_err *err)
{
	int r;

	*l = (struct load){.req = req, .copy_fd = -1, .store_fd = -1, .template_fd = -1};
	if ((r = hp_store_read(req->file_fd, req->file, l->id, &l->copy_fd, err)) < 0 ||
	    (r = refuse_changed(l, err)) < 0 || (r = open_work(l, ops, kind, err)) < 0 ||
	    (r = hp_ledgers_refuse_unknown(&l->w.ledgers, l->w.t, err)) < 0 ||
	    (r = refuse_loaded(l, err)) < 0)
		return r;
	if (r && kind == HP_WORK_TOUCHES && (r = bury(l, err)) < 0)
		return r;
	return make_plan(l, err);
}

static int release(struct load *l, struct hp_err *err)
{
	int r = 0;

	hp_live_free(l->lv);
	hp_plan_free(l->plan);
	if (l->w.t)
		r = hp_work_close(&l->w, err);
	hp_close(&l->copy_fd);
	hp_close(&l->store_fd);
	hp_close(&l->template_fd);
	return r;
}

/* The agent has memory of its own by now, so that the places are chosen again; and once more, by maps
 * that are read anew, when the target itself has taken one meanwhile. */
static int map(struct load *l, struct hp_err *err)
{
	struct hp_maps *m = &l->w.t->maps;
	int r = hp_maps_add(m, hp_agent_area(l->w.agent));

	if (r < 0)
		return hp_err_set(err, r, "no memory for a map of process %d", l->w.t->pid);
	r = -HP_E_PLACE;
	for (unsigned try = 0; try < PLACE_TRIES && r == -HP_E_PLACE; try++)
		if ((r = try ? hp_maps_read(m, l->w.t->pid, err) : 0) >= 0 &&
		    (r = hp_plan_place(l->plan, &l->w.ledgers, err)) >= 0)
			r = hp_stage(&l->ledger, l->plan, &l->w.ledgers, l->w.agent, l->store_fd,
				     l->template_fd, err);
	return r;
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* Now it is one of the target's files; it has a reader already, which need not be another one. */
static int find_patch(struct load *l, struct hp_err *err)
{
	struct hp_module *m;
	int r = hp_ledger_refresh(l->ledger, l->w.looker, err);

	if (r < 0)
		return r;
	m = hp_target_module_at(l->w.t, l->plan->patch.lo);
	if (m && same_file(m->image->fd, l->store_fd))
		hp_reader_twin(m->image, l->w.file.image);
	return 0;
}

static int stage(struct load *l, struct hp_err *err)
{
	uint64_t since;
	int r;

	if ((r = hp_store_keep(l->w.ops->state_dir, l->id, l->copy_fd, &l->store_fd, err)) < 0 ||
	    (r = hp_store_template(l->w.ops->state_dir, &l->template_fd, err)) < 0 ||
	    (r = hp_fault(HP_FAULT_STORED, err)) < 0 || (r = hp_work_touch(&l->w, err)) < 0)
		return r;
	since = hp_now_ns();
	if ((r = map(l, err)) < 0)
		return r;
	if (hp_ledgers_add(&l->w.ledgers, l->ledger) < 0)
		return hp_err_set(err, -ENOMEM, "no memory for a ledger");
	hp_work_report(&l->w, "map", since, NULL);
	if ((r = find_patch(l, err)) < 0)
		return r;
	return hp_work_live(&l->w, l->ledger, l->req->park_ns, &l->lv, err);
}

/* How far a load came, for its way back. */
enum reached { STAGING, MAPPED, INITIALISED, FLIPPED };

static int flip(struct load *l, enum reached *reached, struct hp_load_result *ret,
		struct hp_err *err)
{
	int r;

	if ((r = hp_ledger_set_phase(l->ledger, l->w.t, HP_PHASE_ENTRY, err)) < 0 ||
	    (r = hp_entry_write_all(l->lv, true, err)) < 0 ||
	    (r = hp_chain_link(l->lv, err)) < 0)
		return r;
	if (l->req->mode == HP_MODE_RELAXED) {
		/* From its first slot on some of the new code runs. */
		r = hp_ledger_set_phase(l->ledger, l->w.t, HP_PHASE_LOADED, err);
		*reached = FLIPPED;
		return r < 0 ? r
			     : hp_transition_relaxed(l->lv, HP_OLD, &ret->on_old_code, err);
	}
	if ((r = hp_transition(l->lv, HP_OLD, l->req->quiesce, err)) < 0)
		return r;
	*reached = FLIPPED;
	return hp_ledger_set_phase(l->ledger, l->w.t, HP_PHASE_LOADED, err);
}

/* Undone in the opposite order.  Time for it is given anew: the request's may be what ran out. */
static int roll_back(struct load *l, enum reached reached, struct hp_err *err)
{
	char detail[256];
	bool retained;
	int r = 0;

	if (!l->w.t || !l->ledger || hp_target_check(l->w.t, NULL) < 0)
		return 0;
	/* Its death may be what failed. */
	if ((r = hp_work_revive(&l->w, err)) < 0)
		return r;
	if (l->lv)
		l->lv->agent = l->w.agent;
	if (reached == STAGING) {
		r = hp_maps_read(&l->w.t->maps, l->w.t->pid, err);
		return r < 0 ? r : hp_unstage(l->ledger, &l->w.ledgers, l->w.t, l->w.agent, err);
	}
	l->lv->deadline_ns = hp_now_ns() + HP_DEFAULT_TIMEOUT_NS;
	l->lv->park_left_ns = HP_DEFAULT_PARK_NS;
	if (reached >= FLIPPED)
		r = hp_transition(l->lv, HP_NEW, HP_QUIESCE_AUTO, err);
	if (r >= 0)
		r = hp_calls_fini(l->lv, reached >= INITIALISED, err);
	if (r >= 0)
		r = hp_remove(l->lv, false, &retained, detail, sizeof(detail), err);
	if (r >= 0 && retained)
		r = hp_err_set(err, -HP_E_PARTIAL,
			       "old code runs, but the patch stays mapped and is listed as "
			       "retained: %.200s",
			       detail);
	return r;
}

static int run(struct load *l, enum reached *reached, struct hp_load_result *ret,
	       struct hp_err *err)
{
	int r = stage(l, err);

	if (r < 0)
		return r;
	*reached = MAPPED;
	if ((r = hp_calls_init(l->lv, l->plan, err)) < 0)
		return r;
	*reached = INITIALISED;
	if ((r = hp_calls_hook(l->lv, HP_HOOK_BEFORE_LOAD, err)) < 0)
		return r;
	if ((r = flip(l, reached, ret, err)) < 0)
		return r;
	if ((r = hp_calls_hook(l->lv, HP_HOOK_AFTER_LOAD, err)) < 0 ||
	    (r = hp_chain_bypass(l->lv, true, err)) < 0)
		return r;
	return hp_ledger_set_phase(l->ledger, l->w.t, HP_PHASE_ACTIVE, err);
}

/* It fails where a person is needed; else a patch that cannot go stays below, and is told of. */
static int retire_one(struct load *l, struct hp_ledger *x, struct hp_superseded *ret,
		      struct hp_err *err)
{
	const struct hp_unload_request req = {.quiesce = l->req->quiesce,
					      .park_ns = l->req->park_ns};
	struct hp_unload_result done;
	struct hp_err why;
	int r;

	*ret = (struct hp_superseded){0};
	memcpy(ret->id, x->fixed.id, HP_ID_LEN);
	l->w.deadline_ns = hp_now_ns() + l->req->timeout_ns;
	r = hp_unload_one(&l->w, x, &req, true, &done, &why);
	if (r == -HP_E_PARTIAL || r == -HP_E_GONE)
		return hp_err_set(err, r, "patch %.16s…, which it supersedes: %.900s", ret->id,
				  why.text);
	snprintf(ret->state, sizeof(ret->state), "%s",
		 r < 0 ? "superseded" : done.retained ? "retained" : "unloaded");
	snprintf(ret->detail, sizeof(ret->detail), "%.255s", r < 0 ? why.text : done.detail);
	return 0;
}

/* The latest first: an earlier one may be required by it. */
static int retire(struct load *l, struct hp_load_result *ret, struct hp_err *err)
{
	int r = 0;

	for (size_t i = l->w.ledgers.n; i > 0 && r >= 0; i--) {
		struct hp_ledger *x = l->w.ledgers.v[i - 1];

		if (x == l->ledger || !hp_depend_supersedes(&l->plan->info.meta, x))
			continue;
		r = retire_one(l, x, &ret->superseded[ret->n_superseded], err);
		ret->n_superseded += r >= 0;
	}
	ret->patches_left = l->w.ledgers.n;
	ret->functions_left = hp_ledgers_functions(&l->w.ledgers);
	return r;
}

static void fill_result(const struct load *l, struct hp_load_result *ret)
{
	memcpy(ret->id, l->id, sizeof(ret->id));
	ret->used = l->lv->used;
	ret->quiesce_ns = l->lv->transition_ns;
	ret->gate_ns = l->lv->gate_ns;
	ret->longest_park_ns = l->lv->longest_park_ns;
	ret->borrowed_ns = hp_agent_borrowed_ns(l->w.agent);
	ret->tries = l->lv->tries;
	ret->threads_parked = l->lv->threads_parked;
	ret->memory_bytes = hp_ledger_mapped_bytes(l->ledger);
}

int hp_op_load(struct hp_ops *ops, const struct hp_load_request *req, struct hp_load_result *ret,
	       struct hp_err *err)
{
	enum reached reached = STAGING;
	struct load l;
	struct hp_err why = {0}, more;
	int closed, r = prepare(&l, ops, req, HP_WORK_TOUCHES, &why);

	*ret = (struct hp_load_result){0};
	if (r >= 0)
		r = run(&l, &reached, ret, &why);
	/* Whatever failed, it failed because of that. */
	if (r < 0 && l.w.t && hp_target_check(l.w.t, &more) < 0)
		r = hp_err_set(&why, -HP_E_GONE, "%s", more.text);
	if (r >= 0) {
		fill_result(&l, ret);
		r = retire(&l, ret, &why);
		ret->total_ns = hp_now_ns() - l.w.started_ns;
		if (r < 0)
			r = hp_err_prefix(&why, r, "loaded, but");
	} else if (roll_back(&l, reached, &more) < 0) {
		struct hp_err first = why;

		r = hp_err_set(&why, -HP_E_PARTIAL, "%.400s; and it could not be undone: %.500s",
			       first.text, more.text);
	}
	closed = release(&l, &more);
	if (r >= 0 && closed == -HP_E_GONE)
		r = hp_err_set(&why, closed, "loaded, but %.900s", more.text);
	else if (r >= 0 && closed < 0)
		r = hp_err_set(&why, -HP_E_PARTIAL, "loaded, but: %.900s", more.text);
	return r < 0 ? hp_err_set(err, r, "%s", why.text) : 0;
}

int hp_op_check(struct hp_ops *ops, const struct hp_load_request *req, struct hp_patch_list *ret,
		struct hp_err *err)
{
	struct hp_patch_list list = {0};
	struct hp_patch_info *info;
	struct load l;
	int r = prepare(&l, ops, req, HP_WORK_LOOKS, err);

	if (r >= 0) {
		info = HP_ARRAY_ADD(&list);
		if (!info)
			r = hp_err_set(err, -ENOMEM, "no memory for a plan");
		else if ((r = hp_plan_describe(l.plan, info, err)) < 0)
			list.n = 0;
	}
	(void)release(&l, NULL); /* nothing was touched */
	if (r < 0)
		hp_patch_list_free(&list);
	else
		*ret = list;
	return r;
}
