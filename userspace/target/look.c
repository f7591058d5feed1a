/* SPDX-License-Identifier: MIT */
/*
 * target/look.c – reading a thread without touching it.
 *
 * The program "snap" reads the switch count before on_cpu and the registers.  A thread that was off
 * the CPU then, and whose count is the same after its stack was read, has not run in between; the
 * other order would miss one that was switched in between the two reads.  One that runs is displaced
 * (target/displace.h); only one that cannot be is stopped.
 */
#include "target/look.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

#include "hp/err.h"
#include "inflight.h"
#include "target/displace.h"
#include "target/look_priv.h"
#include "target/procfs.h"

#define TRIES 6

/* struct pt_regs, as the program reads it, is the head of struct user_regs_struct. */
_Static_assert(offsetof(struct user_regs_struct, fs_base) == sizeof(((struct hp_snap *)0)->regs),
	       "same order, same size");

int hp_looker_open(struct hp_looker **ret, struct hp_target *t, const struct hp_look_progs *progs,
		   struct hp_err *err)
{
	struct hp_looker *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return hp_err_sys(err, ENOMEM, "looking at process %d", (int)t->pid);
	l->t = t;
	l->progs = progs ? *progs : (struct hp_look_progs){-1, -1};
	r = hp_unwind_open(&l->unwind, t, err);
	if (r < 0) {
		free(l);
		return r;
	}
	l->n_restorers = hp_restorers_all(t, l->restorer);
	*ret = l;
	return 0;
}

void hp_looker_free(struct hp_looker *l)
{
	if (!l)
		return;
	hp_unwind_free(l->unwind);
	free(l);
}

int hp_looker_refresh_in(struct hp_looker *l, const struct hp_range *in, size_t n, struct hp_err *err)
{
	uint64_t seen = l->t->modules_seen;
	int r = hp_target_refresh_in(l->t, in, n, err);

	if (r == 0 && seen != l->t->modules_seen)
		l->n_restorers = hp_restorers_all(l->t, l->restorer);
	return r;
}

struct hp_unwind *hp_looker_unwind(struct hp_looker *l)
{
	return l->unwind;
}

const struct hp_look_stats *hp_looker_stats(const struct hp_looker *l)
{
	return &l->stats;
}

int hp_looker_read(struct hp_looker *l, pid_t tid, struct hp_reading *ret, struct hp_err *err)
{
	struct hp_snap s = {.tid = tid};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &s, .ctx_size_in = sizeof(s));
	int r = bpf_prog_test_run_opts(l->progs.snap, &opts);

	if (r < 0)
		return hp_err_sys(err, -r, "reading thread %d through BPF", (int)tid);
	if (!s.found)
		return -ESRCH;
	memset(&ret->regs, 0, sizeof(ret->regs));
	memcpy(&ret->regs, s.regs, sizeof(s.regs));
	ret->altstack = (struct hp_range){s.altstack, s.altstack + s.altstack_size};
	ret->switches = s.switches;
	ret->on_cpu = s.on_cpu;
	ret->cpu = s.cpu;
	return 0;
}

bool hp_look_unmoved(struct hp_looker *l, pid_t tid, uint64_t switches)
{
	struct hp_reading now;

	hp_pace(&l->pace);
	return l->progs.snap >= 0 && switches && hp_looker_read(l, tid, &now, NULL) == 0 &&
	       !now.on_cpu && now.switches == switches;
}

/* A leader that has exited stays as a zombie while its threads live on. */
static bool ended(pid_t tid)
{
	struct hp_stat st;

	return hp_stat_read(tid, &st) < 0 || st.state == 'Z' || st.state == 'X';
}

static int gone(struct hp_looker *l, struct hp_seen *ret, struct hp_err *err)
{
	ret->verdict = HP_SEEN_GONE;
	ret->n_calls = 0;
	return hp_target_check(l->t, err);
}

struct snapshot {
	struct hp_looker *l;
	pid_t tid;
	const struct hp_reading *before;
};

/* 1: it has not run since; 0: it has. */
static int unchanged(const struct snapshot *s, struct hp_err *err)
{
	struct hp_reading now;
	int r = hp_looker_read(s->l, s->tid, &now, err);

	return r ? r : !now.on_cpu && now.switches == s->before->switches;
}

static bool still(void *arg)
{
	return unchanged(arg, NULL) == 1;
}

/* 1: seen; 0: it ran meanwhile. */
static int look_once(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
		     const struct hp_reading *before, struct hp_seen *ret, struct hp_err *err)
{
	struct snapshot s = {l, tid, before};
	bool stands = hp_looker_judge(l, &before->regs, scene, still, &s, ret);
	int r = hp_unwind_check(l->unwind, err);

	ret->altstack = before->altstack;
	if (r < 0)
		return r;
	r = stands ? 1 : unchanged(&s, err);
	if (r == -ESRCH || (r >= 0 && ret->verdict != HP_SEEN_OUTSIDE && ended(tid))) {
		r = gone(l, ret, err);
		return r < 0 ? r : 1;
	}
	if (r == 1)
		ret->switches = before->switches;
	l->stats.torn += r == 0;
	return r;
}

/* The same with hp in its place on the CPU.  *able: that can be done here. */
static int look_displaced(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
			  struct hp_reading *before, bool *able, struct hp_seen *ret,
			  struct hp_err *err)
{
	struct hp_displaced d;
	int r;

	/* Nothing is to be begun at that priority. */
	r = hp_unwind_prepare(l->unwind, err);
	if (r < 0)
		return r;
	*able = hp_displace_begin(&d, tid, before->cpu);
	if (!*able)
		return 0;
	l->stats.displaced++;
	hp_unwind_displaced(l->unwind, &d);
	r = hp_looker_read(l, tid, before, err);
	if (r == 0 && !before->on_cpu)
		r = look_once(l, tid, scene, before, ret, err);
	hp_unwind_displaced(l->unwind, NULL);
	hp_displace_end(&d);
	return r;
}

/* 1: seen; 0: it has to be stopped.  A thread that was elsewhere each time is left for another look:
 * a stop could cut its next system call short. */
static int look_from_afar(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
			  struct hp_seen *ret, struct hp_err *err)
{
	bool able = true;

	for (int i = 0; i < TRIES && able; i++) {
		struct hp_reading before;
		int r = hp_looker_read(l, tid, &before, err);

		if (r == 0)
			r = before.on_cpu ? look_displaced(l, tid, scene, &before, &able, ret, err)
					  : look_once(l, tid, scene, &before, ret, err);
		if (r == -ESRCH) {
			r = gone(l, ret, err);
			return r < 0 ? r : 1;
		}
		if (r)
			return r;
	}
	ret->verdict = HP_SEEN_AGAIN;
	return able;
}

int hp_look_stopped(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
		    struct hp_seen *ret, struct hp_err *err)
{
	struct user_regs_struct regs;

	ret->stopped = true;
	ret->switches = 0;
	ret->altstack = (struct hp_range){0};
	if (hp_thread_regs(tid, &regs) < 0)
		return gone(l, ret, err);
	(void)hp_looker_judge(l, &regs, scene, NULL, NULL, ret); /* it cannot run meanwhile */
	return hp_unwind_check(l->unwind, err);
}

static int look_held(struct hp_looker *l, pid_t tid, const struct hp_scene *scene,
		     struct hp_seen *ret, hp_held_fn held, void *arg, struct hp_err *err)
{
	struct hp_err why = {0};
	int r = hp_thread_stop_sharer(l->t->pid, tid, &why);

	if (r == -ESRCH)
		return gone(l, ret, err);
	if (r == -EBUSY) {
		ret->verdict = HP_SEEN_AGAIN;
		return 0;
	}
	if (r < 0)
		return hp_err_set(err, r, "%s", why.text);
	l->stats.stopped++;
	r = hp_look_stopped(l, tid, scene, ret, err);
	if (r == 0 && held && ret->verdict != HP_SEEN_GONE)
		r = held(arg, tid, ret);
	(void)hp_thread_release(tid); /* 0 when it died meanwhile */
	return r;
}

int hp_look(struct hp_looker *l, pid_t tid, const struct hp_scene *scene, struct hp_seen *ret,
	    hp_held_fn held, void *arg, struct hp_err *err)
{
	int r = 0;

	/* With a thousand to look at, one that happens to run here must not wait for the last. */
	hp_pace(&l->pace);
	l->stats.looks++;
	ret->stopped = false;
	ret->switches = 0;
	ret->n_calls = 0;
	ret->blocked_pc = 0;
	memset(&ret->regs, 0, sizeof(ret->regs)); /* of a thread that could not be read */
	if (l->progs.snap >= 0)
		r = look_from_afar(l, tid, scene, ret, err);
	if (r < 0)
		return r;
	if (r == 1 && !(held && ret->verdict == HP_SEEN_INSIDE))
		return 0;
	return look_held(l, tid, scene, ret, held, arg, err);
}
