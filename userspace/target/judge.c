/* SPDX-License-Identifier: MIT */
/*
 * target/judge.c – from registers and stack to a verdict.
 *
 * "Outside" is said in two cases only: nothing on the stack, which is the thread's own from here to
 * its top, could be a return address into the set; or an unbroken walk to the root of the thread
 * met no function of the set.  A signal trampoline on the stack is a reason to walk, since the
 * stack that the signal interrupted may be another one.
 */
#include <string.h>

#include "elf/symtab.h"
#include "target/look_priv.h"
#include "target/module.h"
#include "target/readable.h"
#include "target/stack.h"

#define WALKS_MAX 64 /* signals on top of each other */
#define ROOT_TCB (64u << 10) /* the control block lies no farther above a thread's first frame */

struct judge {
	struct hp_looker *l;
	const struct hp_scene *scene;
	struct hp_seen *seen;
	struct hp_range parts, own; /* what encloses all of them, inclusive */
	bool placed;		    /* the first frame is in placed_fn, as place() said */
	unsigned placed_fn;
	bool first, again;
	bool resumed; /* the walk goes on from @from */
	struct user_regs_struct from;
	bool copied; /* all that the verdict is of was read while the thread stood still */
	bool inside; /* the frame before is of the set: its CFA is to come */
	unsigned fn;
	hp_addr last_sp, last_pc;
};

static void enclose(struct hp_range *r, hp_addr lo, hp_addr hi)
{
	if (r->hi == 0 || lo < r->lo)
		r->lo = lo;
	if (hi > r->hi)
		r->hi = hi;
}

static bool is_own(const struct judge *j, hp_addr a)
{
	if (a < j->own.lo || a > j->own.hi)
		return false;
	for (size_t i = 0; i < j->scene->n_own; i++)
		if (hp_in(j->scene->own[i], a))
			return true;
	return false;
}

/* A saved address that may mean that a call of the set is in flight: a return address (never lo,
 * perhaps hi), or an interrupted pc. */
static bool suspicious(const struct judge *j, hp_addr w)
{
	if (w >= j->parts.lo && w <= j->parts.hi && j->parts.hi)
		for (size_t i = 0; i < j->scene->n_parts; i++)
			if (w >= j->scene->part[i].range.lo && w <= j->scene->part[i].range.hi)
				return true;
	if (is_own(j, w))
		return true;
	for (size_t i = 0; i < j->l->n_restorers; i++)
		if (w == j->l->restorer[i])
			return true;
	return false;
}

/* 1: something suspicious from @at on; 0: nothing up to @hi; -1: it cannot be read.  The first
 * chunk stays in l->chunk, *first_n bytes of it. */
static int scan(struct judge *j, hp_addr at, hp_addr hi, size_t *first_n)
{
	uint8_t *chunk = j->l->chunk;
	bool hit = false;

	*first_n = 0;
	for (hp_addr lo = at; lo < hi && lo - at < HP_STACK_MAX && !hit; lo += HP_LOOK_CHUNK) {
		size_t n = hi - lo < HP_LOOK_CHUNK ? hi - lo : HP_LOOK_CHUNK;

		if (hp_mem_read_some(j->l->t, lo, chunk, n) != n)
			return -1;
		if (lo == at)
			*first_n = n;
		for (size_t i = 0; i + sizeof(uint64_t) <= n && !hit; i += sizeof(uint64_t)) {
			uint64_t w;

			memcpy(&w, chunk + i, sizeof(w));
			hit = suspicious(j, w);
		}
		chunk = j->l->more;
	}
	return hit || hi - at > HP_STACK_MAX;
}

static const struct hp_part *part_at(const struct judge *j, hp_addr a)
{
	for (size_t i = 0; i < j->scene->n_parts; i++)
		if (hp_in(j->scene->part[i].range, a))
			return &j->scene->part[i];
	return NULL;
}

static bool is_entry(const struct judge *j, const struct hp_part *p, hp_addr a)
{
	for (const struct hp_part *q = j->scene->part; q <= p; q++)
		if (q->fn == p->fn)
			return q == p && a == p->range.lo;
	return false;
}

/* The maps may be older than that mapping. */
static bool in_uprobes(struct judge *j, hp_addr a)
{
	struct hp_target *t = j->l->t;
	const struct hp_map *m = hp_maps_find(&t->maps, a);

	if (!m && hp_maps_read(&t->maps, t->pid, NULL) == 0)
		m = hp_maps_find(&t->maps, a);
	return m && strncmp(m->path, "[uprobes", 8) == 0;
}

static void add_call(struct judge *j, hp_addr sp)
{
	struct hp_seen *s = j->seen;

	if (s->n_calls < HP_CALLS_MAX)
		s->n_calls++;
	s->call[s->n_calls - 1] = (struct hp_call){j->fn, sp};
}

/* hp's own code has no frame of its own for the unwinder: the thread is moved to where it came
 * from, or to where in the function it is. False: nothing can be told. */
static bool leave_own_code(struct judge *j, struct user_regs_struct *regs)
{
	struct hp_own_place at = {.kind = HP_OWN_NO};
	uint64_t caller;

	if (j->scene->place)
		j->scene->place(j->scene->arg, regs->rip, &at);
	switch (at.kind) {
	case HP_OWN_NO:
		return !is_own(j, regs->rip);
	case HP_OWN_UNSURE:
		return false;
	case HP_OWN_INSIDE:
		regs->rip = at.as_pc;
		regs->rsp += at.pushed;
		j->placed = true;
		j->placed_fn = at.fn;
		return true;
	case HP_OWN_OUTSIDE:
		regs->rsp += at.pushed;
		j->copied = false;
		if (hp_mem_read(j->l->t, regs->rsp, &caller, sizeof(caller), NULL) < 0)
			return false;
		/* inside the call, so that the row and the function are the caller's */
		regs->rip = caller - 1;
		regs->rsp += sizeof(caller);
		return true;
	}
	return false;
}

/* A frame behind hp's own code: of a call into it, of which nothing is known; or one that a signal
 * interrupted, which is placed like the innermost. */
static void leave_frame(struct judge *j, const struct hp_frame *f)
{
	j->placed = false;
	if (f->activation && is_own(j, f->pc)) {
		hp_frame_regs(f, &j->from);
		j->resumed = leave_own_code(j, &j->from);
	}
	j->again = !j->resumed;
}

static int on_frame(void *arg, const struct hp_frame *f)
{
	struct judge *j = arg;
	hp_addr at = f->activation ? f->pc : f->pc - 1;
	bool placed = j->first && j->placed;
	const struct hp_part *p;

	if (j->inside)
		add_call(j, f->sp - sizeof(uint64_t)); /* the caller's rsp is this call's CFA */
	j->inside = false;
	j->last_sp = f->sp;
	j->last_pc = at;
	if (!j->first && (is_own(j, f->pc) || in_uprobes(j, f->pc))) {
		leave_frame(j, f);
		return 1;
	}
	p = part_at(j, at);
	if (placed || (p && !(f->activation && j->scene->entry_is_patched && is_entry(j, p, at)))) {
		j->inside = true;
		j->fn = placed ? j->placed_fn : p->fn;
		if (!j->seen->blocked_pc)
			j->seen->blocked_pc = at;
	}
	j->first = false;
	return 0;
}

/* A stack that was given to clone(2): of a process, which has no control block of its own. */
static bool in_clone(struct judge *j)
{
	struct hp_module *m = hp_target_module_at(j->l->t, j->last_pc);
	const struct hp_sym *f = NULL;
	const struct hp_symtab *st;

	if (m && hp_module_is_libc(m) && hp_module_symtab(m, &st, NULL) == 0)
		f = hp_symtab_func_at(st, j->last_pc - m->bias);
	return f && strcmp(f->name + strspn(f->name, "_"), "clone") == 0;
}

/* Did the walk end on the thread's own stack, and not on a coroutine's? */
static bool ended_at_root(struct judge *j)
{
	struct hp_range stack;
	bool main_stack;
	hp_addr hi;

	if (hp_stack_recognised(j->l->t, j->last_sp, &stack) || in_clone(j))
		return true;
	if (!hp_stack_range(j->l->t, j->last_sp, &stack, &main_stack))
		return false;
	hi = stack.hi - j->last_sp < ROOT_TCB ? stack.hi : j->last_sp + ROOT_TCB;
	return hp_stack_has_tcb(j->l->t, j->last_sp, hi);
}

static enum hp_verdict walk(struct judge *j, const struct user_regs_struct *regs)
{
	enum hp_walk w;
	unsigned n = 0;

	j->l->stats.unwound++;
	j->from = *regs;
	do {
		struct user_regs_struct from = j->from;

		j->first = true;
		j->resumed = false;
		w = hp_unwind_walk(j->l->unwind, &from, on_frame, j);
		j->copied &= !hp_unwind_read_more(j->l->unwind);
	} while (j->resumed && ++n < WALKS_MAX);
	if (j->again)
		return HP_SEEN_AGAIN;
	if (w != HP_WALK_END || j->inside || !ended_at_root(j))
		return HP_SEEN_UNKNOWN;
	return j->seen->n_calls ? HP_SEEN_INSIDE : HP_SEEN_OUTSIDE;
}

/* A pc where no file says anything: the kernel's copy of a probed instruction. */
static bool on_probe(struct judge *j, hp_addr pc)
{
	return !hp_target_module_at(j->l->t, pc) && !is_own(j, pc) && in_uprobes(j, pc);
}

bool hp_looker_judge(struct hp_looker *l, const struct user_regs_struct *regs,
		     const struct hp_scene *scene, hp_still_fn still, void *arg,
		     struct hp_seen *ret)
{
	struct judge j = {.l = l, .scene = scene, .seen = ret};
	struct user_regs_struct r = *regs;
	struct hp_range stack;
	bool recognised;
	size_t n = 0;
	int hit;

	ret->verdict = HP_SEEN_AGAIN;
	ret->regs = *regs;
	ret->n_calls = 0;
	ret->blocked_pc = 0;
	for (size_t i = 0; i < scene->n_parts; i++)
		enclose(&j.parts, scene->part[i].range.lo, scene->part[i].range.hi);
	for (size_t i = 0; i < scene->n_own; i++)
		enclose(&j.own, scene->own[i].lo, scene->own[i].hi);
	if (on_probe(&j, r.rip) || !leave_own_code(&j, &r))
		return false;
	recognised = hp_stack_recognised(l->t, r.rsp, &stack);
	hit = recognised ? scan(&j, r.rsp & ~7ull, stack.hi, &n) : 1;
	if (hit < 0) {
		ret->verdict = HP_SEEN_UNKNOWN;
		return false;
	}
	hit |= j.placed || part_at(&j, r.rip);
	l->stats.scan_hits += hit;
	if (!hit) {
		ret->verdict = HP_SEEN_OUTSIDE;
		return false;
	}
	j.copied = still && still(arg);
	hp_unwind_seed(l->unwind, r.rsp & ~7ull, l->chunk, n);
	ret->verdict = walk(&j, &r);
	return j.copied;
}
