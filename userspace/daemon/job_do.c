/* SPDX-License-Identifier: MIT */
/* Results of hp_op_*() become records, by which hpd goes, and JSON, which it passes on. */
#include "daemon/job_do.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "access/patch_file.h"
#include "base/array.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/doctor.h"
#include "daemon/json_out.h"
#include "hp/err.h"

static int open_patch(const struct hp_job *job, const char *path, int *ret, struct hp_err *err)
{
	if (job->req.by_target)
		return hp_patch_file_open_as(job->req.pid, job->req.of, path, ret, err);
	return hp_patch_file_open(job->peer, path, ret, err);
}

static void note_load(struct hp_job_head *h, const struct hp_load_result *r)
{
	snprintf(h->id, sizeof(h->id), "%s", r->id);
	h->total_ns = r->total_ns;
	h->quiesce_ns = r->quiesce_ns;
	h->gate_ns = r->gate_ns;
	h->longest_park_ns = r->longest_park_ns;
	h->threads_parked = r->threads_parked;
	h->patches_left = r->patches_left;
	h->functions_left = r->functions_left;
	for (size_t i = 0; i < r->n_superseded; i++)
		h->retained |= !strcmp(r->superseded[i].state, "retained");
}

static int do_load(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		   struct hp_err *err)
{
	struct hp_load_request *req = &job->req.load;
	struct hp_load_result result = {0};
	struct hp_patch_list plan = {0};
	int k;

	k = open_patch(job, req->file, &req->file_fd, err);
	if (k < 0)
		return k;
	if (job->req.kind == HP_JOB_LOAD) {
		k = hp_op_load(ops, req, &result, err);
		if (k == 0) {
			note_load(&ret->head, &result);
			ret->doc = hp_json_load_result(req->pid, &result);
		}
	} else {
		k = hp_op_check(ops, req, &plan, err);
		if (k == 0)
			ret->doc = hp_json_patches(&plan);
		hp_patch_list_free(&plan);
	}
	close(req->file_fd);
	return k;
}

static int do_unload(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		     struct hp_err *err)
{
	struct hp_unload_result r = {0};
	struct hp_job_head *h = &ret->head;
	int k = hp_op_unload(ops, &job->req.unload, &r, err);

	if (k < 0)
		return k;
	snprintf(h->id, sizeof(h->id), "%s", r.id);
	h->total_ns = r.total_ns;
	h->quiesce_ns = r.quiesce_ns;
	h->gate_ns = r.gate_ns;
	h->longest_park_ns = r.longest_park_ns;
	h->threads_parked = r.threads_parked;
	h->patches_left = r.patches_left;
	h->functions_left = r.functions_left;
	h->retained = r.retained;
	ret->doc = hp_json_unload_result(job->req.pid, &r);
	return 0;
}

static int do_explain(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		      struct hp_err *err)
{
	struct hp_explain result = {0};
	int k = hp_op_explain(ops, job->req.pid, job->req.fns, job->req.n_fns, &result, err);

	if (k == 0)
		ret->doc = hp_json_explain(job->req.pid, &result);
	hp_explain_free(&result);
	return k;
}

static int note_pids(const struct hp_pids *pids, struct hp_job_saying *ret, struct hp_err *err)
{
	for (size_t i = 0; i < pids->n; i++) {
		int32_t *pid = hp_job_add_fact(ret, HP_FACT_PID);

		if (!pid)
			return hp_err_sys(err, ENOMEM, "list of processes");
		*pid = pids->v[i];
	}
	return 0;
}

static enum hp_fact_state state_of(const struct hp_patch_info *p)
{
	return !strcmp(p->state, "retained")	? HP_STATE_RETAINED
	       : !strcmp(p->state, "loading")	? HP_STATE_LOADING
	       : !strcmp(p->state, "unloading") ? HP_STATE_UNLOADING
						: HP_STATE_SETTLED;
}

static int note_patches(const struct hp_patch_list *l, struct hp_job_saying *ret, struct hp_err *err)
{
	for (size_t i = 0; i < l->n; i++) {
		struct hp_fact_patch *f = hp_job_add_fact(ret, HP_FACT_PATCH);

		if (!f)
			return hp_err_sys(err, ENOMEM, "list of patches");
		f->pid = l->v[i].pid;
		f->state = state_of(&l->v[i]);
		f->functions = l->v[i].n_sites;
		snprintf(f->id, sizeof(f->id), "%s", l->v[i].id);
	}
	for (size_t i = 0; i < l->unknown.n; i++) {
		struct hp_fact_unknown *f = hp_job_add_fact(ret, HP_FACT_UNKNOWN);

		if (!f)
			return hp_err_sys(err, ENOMEM, "list of ledgers");
		f->pid = l->unknown.v[i].pid;
		snprintf(f->detail, sizeof(f->detail), "%s", l->unknown.v[i].detail);
	}
	return 0;
}

/* NULL: of all.  A process that was selected may have ended meanwhile. */
static json_t *list_generations(const struct hp_selector *sel)
{
	struct hp_pids pids = {0};
	json_t *list;

	if (sel)
		(void)hp_op_select(sel, NULL, NULL, &pids, NULL, NULL);
	list = hp_generations_list(sel ? &pids : NULL);
	HP_ARRAY_FREE(&pids);
	return list;
}

static int do_list(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		   struct hp_err *err)
{
	pid_t below = job->d->opt.below;
	const struct hp_selector one = {.pids = &job->req.pid, .n_pids = 1}, all = {.all = true};
	const struct hp_selector ours = {.pids = &below, .n_pids = 1, .children = true};
	bool some = job->req.pid || hp_job_request_is_family(&job->req);
	const struct hp_selector *sel = job->req.pid ? &one : &job->req.sel;
	struct hp_patch_list list = {0};
	struct hp_pids traces = {0};
	int k;

	if (!some)
		sel = below ? &ours : &all;
	if (job->req.traces)
		hp_restart_repair();
	k = hp_op_list(ops, sel, &list, err);
	if (k == 0 && job->req.traces)
		k = hp_op_traces(sel, &traces, err);
	if (k == 0)
		k = note_pids(&traces, ret, err);
	if (k == 0)
		k = note_patches(&list, ret, err);
	if (k == 0) {
		ret->doc = hp_json_patches(&list);
		(void)json_object_set_new(ret->doc, "unknown_ledgers", /* no memory: they are not told */
					  hp_json_unknown_ledgers(&list));
		(void)json_object_set_new(ret->doc, "generations", /* no memory: they are not told */
					  list_generations(some ? sel : NULL));
	}
	HP_ARRAY_FREE(&traces);
	hp_patch_list_free(&list);
	return k;
}

static int do_select(struct hp_job *job, struct hp_job_saying *ret, struct hp_err *err)
{
	struct hp_load_request *load = &job->req.load;
	char id[HP_ID_LEN + 1] = "";
	struct hp_pids pids = {0};
	int k;

	load->file_fd = -1;
	k = load->file ? open_patch(job, load->file, &load->file_fd, err) : 0;
	if (k < 0)
		return k;
	k = hp_op_select(&job->req.sel, load->file ? load : NULL, job->req.unload.id, &pids, id,
			 err);
	hp_close(&load->file_fd);
	if (k == 0)
		k = note_pids(&pids, ret, err);
	HP_ARRAY_FREE(&pids);
	snprintf(ret->head.id, sizeof(ret->head.id), "%s", id);
	return k;
}

static int do_recover(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		      struct hp_err *err)
{
	char did[256] = "";
	int k = hp_op_recover(ops, job->req.pid, did, sizeof(did), err);

	if (k == 0)
		snprintf(ret->head.text, sizeof(ret->head.text), "%s", did);
	return k;
}

static int note_guard(const struct hp_guard *g, struct hp_job_saying *ret, struct hp_err *err)
{
	for (size_t i = 0; i < g->targets.n; i++) {
		const struct hp_guard_target *t = &g->targets.v[i];
		struct hp_fact_target *f = hp_job_add_fact(ret, HP_FACT_TARGET);

		if (!f)
			return hp_err_sys(err, ENOMEM, "list of targets");
		f->pid = t->pid;
		f->patches = t->patches;
		f->outcome = t->outcome;
		f->ns = t->ns;
		if (t->outcome == HP_GUARD_LOST)
			hp_log(HP_LOG_WARNING,
			       "process %d is %s: whether its entries are right is not known", t->pid,
			       t->why);
	}
	for (size_t i = 0; i < g->sites.n; i++) {
		const struct hp_guard_site *s = &g->sites.v[i];
		struct hp_fact_site *f = hp_job_add_fact(ret, HP_FACT_SITE);

		if (!f)
			return hp_err_sys(err, ENOMEM, "list of entries");
		f->pid = s->pid;
		f->found = s->found;
		f->addr = s->addr;
		f->mended = s->mended;
		snprintf(f->fn, sizeof(f->fn), "%s", s->fn);
	}
	return 0;
}

/* Of one target it is to be put right, in its turn; of many it is looked at only. */
static int do_guard(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		    struct hp_err *err)
{
	const struct hp_job_request *req = &job->req;
	const struct hp_pids all = {.v = req->pids, .n = req->sel.n_pids};
	struct hp_guard g = {0};
	int k = req->pid ? hp_op_guard_mend(ops, req->pid, &g, err)
			 : hp_op_guard_look(&all, &g, err);

	if (k == 0)
		k = note_guard(&g, ret, err);
	hp_guard_free(&g);
	return k;
}

static int do_watch(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		    struct hp_err *err)
{
	int k = hp_op_watch_calls(ops, job->req.pid, job->sock, err);

	if (k == 0)
		ret->doc = json_pack("{s:i,s:i}", "schema", 1, "pid", (int)job->req.pid);
	return k;
}

int hp_job_do(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret, struct hp_err *err)
{
	switch (job->req.kind) {
	case HP_JOB_LOAD:
	case HP_JOB_CHECK:
		return do_load(job, ops, ret, err);
	case HP_JOB_UNLOAD:
		return do_unload(job, ops, ret, err);
	case HP_JOB_EXPLAIN:
		return do_explain(job, ops, ret, err);
	case HP_JOB_LIST:
		return do_list(job, ops, ret, err);
	case HP_JOB_WATCH:
		return do_watch(job, ops, ret, err);
	case HP_JOB_RECOVER:
		return do_recover(job, ops, ret, err);
	case HP_JOB_RESTART:
		return hp_job_do_restart(job, ops, ret, err);
	case HP_JOB_DOCTOR:
		ret->doc = hp_doctor(job->d);
		return 0;
	case HP_JOB_SELECT:
		return do_select(job, ret, err);
	case HP_JOB_GUARD:
		return do_guard(job, ops, ret, err);
	case HP_JOB_KINDS:
		break;
	}
	return -EINVAL;
}
