/* SPDX-License-Identifier: MIT */
#include "target/borrow.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/borrow_priv.h"
#include "target/choose.h"
#include "target/gadget.h"
#include "target/held.h"
#include "target/procfs.h"
#include "target/rseq.h"
#include "target/safepoint.h"
#include "target/stack.h"
#include "target/threads.h"

#define LOOK_AGAIN_NS (1 * HP_MS)

struct search {
	struct hp_borrow *b;
	enum hp_borrow_need need;
	struct hp_choices choices;
	char why[512]; /* the last thread that would not do */
};

/* A return address that hp would leave on a shadow stack is one that the CPU refuses. */
static int refuse_shadow_stack(const struct hp_target *t, struct hp_err *err)
{
	char features[128];

	if (!hp_status_text(t->pid, "x86_Thread_features", features, sizeof(features)) ||
	    !strstr(features, "shstk"))
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) runs with a shadow stack (CET); start it without "
			  "(GLIBC_TUNABLES=glibc.cpu.x86_shstk=off)",
			  (int)t->pid, t->comm);
}

/* What was seen from outside must still hold now that it is stopped. */
static bool still_fit(const struct hp_choice *c, const struct user_regs_struct *regs)
{
	if (c->rank == HP_CHOICE_RUNNING)
		return (int64_t)regs->orig_rax < 0; /* it was in user code, not in a system call */
	return (int64_t)regs->orig_rax == c->nr && (int64_t)regs->rax < 0;
}

/* 1: borrowed; 0: this thread will not do; negative: nothing will. */
static int take_stopped(struct search *s, const struct hp_choice *c, struct hp_err *err)
{
	struct hp_target *t = s->b->t;
	struct user_regs_struct regs;
	struct hp_range stack;
	struct hp_err why = {0};
	int r;

	if (hp_thread_regs(c->tid, &regs) < 0 || !still_fit(c, &regs) ||
	    !hp_stack_recognised(t, regs.rsp, &stack))
		return 0;
	if (c->rank == HP_CHOICE_RUNNING && hp_rseq_inside(t, c->tid, regs.rip))
		return 0;
	if (s->need == HP_BORROW_CALL &&
	    !hp_safepoint(s->b->l, c->tid, true, s->why, sizeof(s->why)))
		return 0;
	r = hp_inject_begin(&s->b->inj, t, c->tid, stack.lo, &why);
	if (r == 0)
		return 1;
	if (r != -HP_E_TARGET && hp_target_check(t, err) < 0)
		return -HP_E_GONE;
	(void)snprintf(s->why, sizeof(s->why), "%.500s", why.text);
	return 0;
}

static int take(struct search *s, const struct hp_choice *c, struct hp_err *err)
{
	/* What a called function clones is its own affair. */
	long options = PTRACE_O_TRACESYSGOOD |
		       (s->need == HP_BORROW_SYSCALL ? PTRACE_O_TRACECLONE : 0);
	struct hp_err why = {0};
	int r;

	if (s->need == HP_BORROW_CALL && c->rank != HP_CHOICE_RUNNING &&
	    !hp_safepoint(s->b->l, c->tid, false, s->why, sizeof(s->why)))
		return 0;
	s->b->since_ns = hp_now_ns();
	r = hp_thread_stop(s->b->t->pid, c->tid, options, &why);
	if (r == -HP_E_DENIED)
		return hp_err_set(err, r, "%s", why.text);
	if (r < 0) { /* it ended, or cannot be stopped now: another one */
		(void)snprintf(s->why, sizeof(s->why), "%.500s", why.text);
		return 0;
	}
	/* After an exec nothing of what is known of its memory holds. */
	r = hp_target_check(s->b->t, err);
	if (r == 0)
		r = take_stopped(s, c, err);
	if (r != 1)
		(void)hp_thread_release(c->tid); /* 0 when it died meanwhile */
	return r;
}

static int try_listed(struct search *s, bool enough, struct hp_err *err)
{
	int r = hp_choices_read(&s->choices, s->b->t, enough, err);

	for (size_t i = 0; r == 0 && i < s->choices.n; i++)
		if (s->choices.v[i].rank != HP_CHOICE_NEVER)
			r = take(s, &s->choices.v[i], err);
	return r;
}

/* The first thread of the best rank will mostly do; a thousand need not be asked for it. */
static int try_all(struct search *s, struct hp_err *err)
{
	int r = try_listed(s, true, err);

	return r ? r : try_listed(s, false, err);
}

static int none_found(struct search *s, struct hp_err *err)
{
	const struct hp_target *t = s->b->t;
	const char *held = hp_held_up(t->pid);
	char doing[512];

	if (hp_target_check(t, err) < 0)
		return -HP_E_GONE;
	if (held)
		return hp_err_set(err, -HP_E_NO_SAFE_POINT, "process %d (%s) %s", (int)t->pid,
				  t->comm, held);
	hp_choices_describe(&s->choices, doing, sizeof(doing));
	return hp_err_set(err, -HP_E_NO_SAFE_POINT,
			  "no thread of process %d (%s) could be borrowed in time: %s%s%s; try again "
			  "with a longer --timeout",
			  (int)t->pid, t->comm, doing, s->why[0] ? "; " : "", s->why);
}

static int find(struct search *s, uint64_t deadline_ns, struct hp_err *err)
{
	for (;;) {
		int r = hp_held_up(s->b->t->pid) ? 0 : try_all(s, err);

		if (r)
			return r < 0 ? r : 0;
		if (hp_target_check(s->b->t, err) < 0)
			return -HP_E_GONE;
		if (hp_now_ns() >= deadline_ns)
			return none_found(s, err);
		hp_pause_ns(LOOK_AGAIN_NS);
	}
}

int hp_borrow_begin(struct hp_borrow **ret, struct hp_target *t, struct hp_looker *l,
		    enum hp_borrow_need need, uint64_t deadline_ns, struct hp_err *err)
{
	struct search s = {.need = need};
	int r;

	r = hp_target_check(t, err);
	if (r == 0)
		r = refuse_shadow_stack(t, err);
	if (r == 0)
		r = hp_gadgets_find(t, err);
	if (r < 0)
		return r;
	s.b = calloc(1, sizeof(*s.b));
	if (!s.b)
		return hp_err_sys(err, ENOMEM, "borrowing a thread of process %d", (int)t->pid);
	s.b->t = t;
	s.b->l = l;
	r = find(&s, deadline_ns, err);
	hp_choices_free(&s.choices);
	if (r < 0) {
		free(s.b);
		return r;
	}
	*ret = s.b;
	return 0;
}

pid_t hp_borrow_tid(const struct hp_borrow *b)
{
	return b->inj.tid;
}

uint64_t hp_borrow_since_ns(const struct hp_borrow *b)
{
	return b->since_ns;
}

int64_t hp_borrow_syscall(struct hp_borrow *b, long nr, const uint64_t args[6])
{
	return hp_inject_syscall(&b->inj, nr, args);
}

hp_addr hp_borrow_scratch(struct hp_borrow *b, size_t *n)
{
	*n = HP_INJECT_SCRATCH;
	return b->inj.scratch;
}

int hp_borrow_end(struct hp_borrow *b, struct hp_err *err)
{
	int r = b->let_go ? 0 : hp_inject_end(&b->inj);

	if (r < 0)
		r = hp_err_set(err, r, "thread %d of process %d ended while it was borrowed",
			       (int)b->inj.tid, (int)b->t->pid);
	free(b);
	return r;
}
