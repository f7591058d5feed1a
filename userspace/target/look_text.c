/* SPDX-License-Identifier: MIT */
/* target/look_text.c – stacks for people. */
#include <errno.h>
#include <stdio.h>

#include "base/array.h"
#include "hp/err.h"
#include "target/look_priv.h"

#define LINES_MAX 256
#define TRIES	  5

struct listing {
	struct hp_looker *l;
	struct hp_stack *stack;
	int r;
};

static int add_line(void *arg, const struct hp_frame *f)
{
	struct listing *li = arg;
	hp_addr at = f->activation ? f->pc : f->pc - 1;
	struct hp_stack_line *line;

	if (li->stack->n == LINES_MAX)
		return 1;
	line = HP_ARRAY_ADD(li->stack);
	if (!line) {
		li->r = -ENOMEM;
		return 1;
	}
	line->pc = f->pc;
	(void)hp_target_describe(li->l->t, at, line->text, sizeof(line->text));
	return 0;
}

static int list(struct hp_looker *l, const struct user_regs_struct *regs, struct hp_stack *ret,
		struct hp_err *err)
{
	struct listing li = {.l = l, .stack = ret};

	ret->n = 0;
	(void)hp_unwind_walk(l->unwind, regs, add_line, &li); /* as far as it goes */
	return li.r < 0 ? hp_err_sys(err, -li.r, "a stack's lines") : hp_unwind_check(l->unwind, err);
}

static int list_stopped(struct hp_looker *l, pid_t tid, struct hp_stack *ret, struct hp_err *err)
{
	struct user_regs_struct regs;
	int r = hp_thread_stop_sharer(l->t->pid, tid, err);

	if (r < 0)
		return r;
	r = hp_thread_regs(tid, &regs);
	if (r < 0)
		r = hp_err_sys(err, -r, "stack of thread %d", (int)tid);
	else
		r = list(l, &regs, ret, err);
	(void)hp_thread_release(tid); /* 0 when it died meanwhile */
	return r;
}

int hp_look_stack(struct hp_looker *l, pid_t tid, struct hp_stack *ret, struct hp_err *err)
{
	for (int i = 0; l->progs.snap >= 0 && i < TRIES; i++) {
		struct hp_reading before, after;
		int r = hp_looker_read(l, tid, &before, err);

		if (r == 0 && before.on_cpu)
			break;
		if (r == 0)
			r = list(l, &before.regs, ret, err);
		if (r == 0)
			r = hp_looker_read(l, tid, &after, err);
		if (r == -ESRCH)
			return hp_err_set(err, -ESRCH, "thread %d has ended", (int)tid);
		if (r)
			return r;
		if (!after.on_cpu && after.switches == before.switches)
			return 0;
	}
	return list_stopped(l, tid, ret, err);
}

void hp_stack_free(struct hp_stack *s)
{
	HP_ARRAY_FREE(s);
}

const char *hp_look_where(struct hp_looker *l, const struct hp_seen *seen, char *buf, size_t n)
{
	char at[300], in[300];

	hp_target_describe(l->t, seen->regs.rip, at, sizeof(at));
	if (!seen->blocked_pc || seen->blocked_pc == seen->regs.rip) {
		(void)snprintf(buf, n, "at %s", at);
		return buf;
	}
	hp_target_describe(l->t, seen->blocked_pc, in, sizeof(in));
	(void)snprintf(buf, n, "at %s, called from %s", at, in);
	return buf;
}
