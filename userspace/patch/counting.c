/* SPDX-License-Identifier: MIT */
/*
 * A thread's list is only ever written while it is stopped, and never while it stands in a watch
 * path: behind the probed nop its call is counted but not yet on its stack's account.  One that
 * parks at the gate has decided nothing: a call of its that was counted on the way there is not in
 * flight.
 */
#include "patch/counting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "elf/image.h"
#include "hp/err.h"
#include "target/mapped.h"

#define BASELINE_TRIES 4000
#define RECOUNT_TRIES  3

_Static_assert(HP_NAME_MAX >= HP_LEDGER_NAME, "no name is cut short in the pinned map");

bool hp_counting_possible(const struct hp_live *lv, enum hp_side side)
{
	for (unsigned i = 0; i < lv->l->fixed.n_fns; i++)
		if ((side == HP_OLD && lv->fn[i].n_layers) ||
		    !hp_flow_watchable(&lv->fn[i].flow[side], side == HP_OLD, NULL))
			return false;
	return true;
}

struct probes {
	struct hp_probe *v;
	size_t n, room;
};

static int exits_in(const struct hp_live *lv, enum hp_side side, const struct hp_module *m,
		    struct probes *ret, struct hp_err *err)
{
	for (unsigned i = 0; i < lv->l->fixed.n_fns; i++) {
		const struct hp_flow *f = &lv->fn[i].flow[side];

		if (lv->fn[i].module[side]->span.lo != m->span.lo)
			continue; /* what that points to may be a copy */
		for (size_t k = 0; k < f->n_exits; k++) {
			struct hp_probe *p = HP_ARRAY_ADD(ret);

			if (!p)
				return hp_err_set(err, -ENOMEM, "no memory for probes");
			p->fn = i;
			if (!hp_image_offset(m->image, f->exit[k] - m->bias, &p->offset))
				return hp_err_set(err, -HP_E_TARGET, "an exit of %s is not in %s",
						  lv->l->fixed.fn[i].old_name, m->path);
		}
	}
	return 0;
}

/* One set for each file: a uprobe_multi link names one. */
static int attach_exits(struct hp_session *s, struct hp_live *lv, enum hp_side side,
			struct hp_err *err)
{
	for (size_t i = 0; i < lv->t->n_modules; i++) {
		const struct hp_module *m = &lv->t->module[i];
		struct probes p = {0};
		int r = exits_in(lv, side, m, &p, err);

		if (r >= 0 && p.n) {
			struct hp_probe_set set = {.role = HP_PROBE_EXIT,
						   .file_fd = m->image->fd,
						   .v = p.v,
						   .n = p.n};

			r = hp_session_attach(s, lv->t->pid, &set, 1, err);
		}
		HP_ARRAY_FREE(&p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The template that is mapped, whatever the state directory holds by now. */
static int open_template(const struct hp_live *lv, unsigned bank, struct hp_err *err)
{
	hp_addr at = lv->l->fixed.bank[bank] + HP_BANK_TEMPLATE;
	const struct hp_map *m = hp_maps_find(&lv->t->maps, at);
	int fd;

	if (!m)
		return hp_err_set(err, -HP_E_TARGET, "the path blocks are not mapped any more");
	fd = hp_mapped_open(lv->t->pid, m);
	return fd < 0 ? hp_err_sys(err, -fd, "open the path blocks of process %d", (int)lv->t->pid)
		      : fd;
}

static int attach_entries(struct hp_session *s, struct hp_live *lv, struct hp_err *err)
{
	for (unsigned b = 0; b < lv->l->fixed.n_banks; b++) {
		struct probes p = {0};
		hp_autoclose int fd = open_template(lv, b, err);
		struct hp_probe_set set = {.role = HP_PROBE_ENTRY, .file_fd = fd};
		int r = fd < 0 ? fd : 0;

		for (unsigned i = 0; i < lv->l->fixed.n_fns && r >= 0; i++) {
			struct hp_probe *probe;

			if (lv->l->fixed.fn[i].bank != b)
				continue;
			probe = HP_ARRAY_ADD(&p);
			if (!probe)
				r = hp_err_set(err, -ENOMEM, "no memory for probes");
			else
				*probe = (struct hp_probe){
					hp_watch_offset(lv->l->fixed.fn[i].slot), i};
		}
		set.v = p.v;
		set.n = p.n;
		if (r >= 0 && p.n)
			r = hp_session_attach(s, lv->t->pid, &set, 1, err);
		HP_ARRAY_FREE(&p);
		if (r < 0)
			return r;
	}
	return 0;
}

int hp_counting_start(struct hp_session **ret, struct hp_live *lv, enum hp_side side, bool exits,
		      struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	const char **names = calloc(f->n_fns + 1, sizeof(*names));
	struct hp_session *s;
	int r;

	if (!names)
		return hp_err_set(err, -ENOMEM, "no memory for names");
	for (unsigned i = 0; i < f->n_fns; i++)
		names[i] = side == HP_OLD ? f->fn[i].old_name : f->fn[i].new_name;
	r = hp_session_begin(&s, lv->ops->view, names, f->n_fns, err);
	free(names);
	if (r < 0)
		return r;
	if ((exits && (r = attach_exits(s, lv, side, err)) < 0) ||
	    (r = attach_entries(s, lv, err)) < 0) {
		hp_counting_stop(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void hp_counting_stop(struct hp_session **s)
{
	if (*s)
		hp_session_end(*s, NULL);
	*s = NULL;
}

struct held {
	struct hp_session *s;
	struct hp_live *lv;
	bool written;
};

static bool being_counted(const struct hp_live *lv, hp_addr pc)
{
	int fn = hp_live_fn_of_block(lv, pc);

	return fn >= 0 && pc - hp_live_block(lv, (unsigned)fn) < hp_path_offset(HP_PATH_OLD);
}

static int write_list(void *arg, pid_t tid, const struct hp_seen *seen)
{
	struct held *h = arg;
	struct hp_thread_calls calls = {0};

	if (seen->verdict != HP_SEEN_INSIDE && seen->verdict != HP_SEEN_OUTSIDE)
		return 0;
	if (being_counted(h->lv, seen->regs.rip))
		return 0;
	/* The list is outermost first; a call that does not fit is told by the overflow counter of
	 * the program as soon as it matters. */
	for (size_t i = seen->n_calls; i > 0 && calls.depth < HP_THREAD_MAX; i--)
		calls.call[calls.depth++] = (struct hp_thread_call){
			.sp = seen->call[i - 1].sp, .fn = seen->call[i - 1].fn};
	h->written = hp_session_thread_set(h->s, tid, &calls) >= 0;
	return 0;
}

static unsigned counted(struct hp_session *s, pid_t tid)
{
	struct hp_thread_calls calls;

	return hp_session_thread_get(s, tid, &calls) < 0 ? 0 : calls.depth;
}

/* 1: done, 0: to be tried again, or a negative code. */
static int baseline_one(struct held *h, struct hp_census *c, struct hp_census_thread *ct,
			struct hp_err *err)
{
	struct hp_seen seen;
	int r;

	h->written = false;
	r = hp_look(c->lv->looker, ct->tid, &c->lv->scene, &seen, write_list, h, err);
	if (r < 0)
		return r;
	if (seen.verdict == HP_SEEN_GONE || h->written)
		return 1;
	if (seen.verdict == HP_SEEN_UNKNOWN) {
		c->last_tid = ct->tid;
		c->last = seen;
	}
	if (seen.verdict != HP_SEEN_OUTSIDE || seen.stopped || being_counted(c->lv, seen.regs.rip))
		return 0;
	if (!counted(h->s, ct->tid))
		return 1;
	/* Outside, but with counted calls: they are gone, or just beginning. */
	if ((r = hp_thread_stop_sharer(c->lv->t->pid, ct->tid, err)) < 0)
		return r == -ESRCH ? 1 : r == -EBUSY ? 0 : r;
	r = hp_look_stopped(c->lv->looker, ct->tid, &c->lv->scene, &seen, err);
	if (r >= 0)
		(void)write_list(h, ct->tid, &seen); /* says in h->written whether it could */
	(void)hp_thread_release(ct->tid); /* only a dead thread refuses */
	return r < 0 ? r : h->written;
}

int hp_counting_recount(struct hp_session *s, struct hp_census *c, struct hp_census_thread *ct,
			struct hp_err *err)
{
	struct held h = {.s = s, .lv = c->lv};
	int r = 0;

	for (unsigned try = 0; r == 0 && try < RECOUNT_TRIES && counted(s, ct->tid); try++)
		r = baseline_one(&h, c, ct, err);
	return r < 0 ? r : 0;
}

int hp_counting_baseline(struct hp_session *s, struct hp_census *c, struct hp_err *err)
{
	struct held h = {.s = s, .lv = c->lv};

	for (size_t i = 0; i < c->n; i++) {
		int r = c->v[i].sharer; /* the kernel fires no probe in it: only looks tell */

		/* Once in any case: what is still in use at the deadline is for the caller to say. */
		for (unsigned try = 0; r == 0 && try < BASELINE_TRIES; try++) {
			if (try && hp_now_ns() >= c->lv->deadline_ns)
				break;
			if (try)
				hp_pause_ns(30 * HP_US);
			r = baseline_one(&h, c, &c->v[i], err);
		}
		if (r < 0)
			return r;
		if (r == 0)
			return hp_census_blame(c, err);
	}
	return 0;
}

int hp_counting_recount_all(struct hp_session *s, struct hp_census *c, struct hp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r >= 0; i++)
		r = hp_counting_recount(s, c, &c->v[i], err);
	return r;
}
