/* SPDX-License-Identifier: MIT */
#include "patch/pointers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/callsite.h"
#include "arch/sigframe.h"
#include "base/array.h"
#include "base/clock.h"
#include "elf/image.h"
#include "hp/err.h"
#include "target/agent.h"
#include "target/readable.h"
#include "target/stack.h"
#include "target/threads.h"

#define CHUNK	(256u << 10)
#define STRETCH (64u << 20) /* a guard page farther below a stack pointer is not looked for */

struct thread_sp {
	pid_t tid;
	hp_addr sp;
	struct hp_range altstack;
};

#define N_TABLES 11

struct scan {
	struct hp_live *lv;
	struct hp_range table[N_TABLES]; /* of the patch, for unwinding and linking */
	struct {
		struct thread_sp *v;
		size_t n, room;
	} sp;
	uint64_t *buf;
	uint64_t bytes;
	struct hp_pace pace;
	struct hp_pointers *ret;
};

/* No code of the patch has the addresses of these to give away.  libgcc keeps sorted copies of unwind
 * tables in memory that it frees with them, and exceptions that are over keep addresses of such
 * tables: nobody follows them while no frame of the patch is on a stack, which is proven by now. */
static bool in_tables(const struct scan *s, uint64_t w)
{
	for (size_t i = 0; i < N_TABLES; i++)
		if (hp_in(s->table[i], w))
			return true;
	return false;
}

static bool points_in(const struct scan *s, uint64_t w)
{
	const struct hp_ledger_fixed *f = &s->lv->l->fixed;

	return w >= f->patch_lo && w < f->patch_hi && !in_tables(s, w);
}

static void find_tables(struct scan *s)
{
	static const char *const name[N_TABLES] = {
		".eh_frame", ".eh_frame_hdr", ".gcc_except_table", ".hp.patch", ".dynsym", ".dynstr",
		".gnu.hash", ".gnu.version", ".gnu.version_r", ".rela.dyn", ".rela.plt",
	};
	const struct hp_module *m = s->lv->fn[0].module[HP_NEW];
	uint64_t vaddr;
	size_t n;

	for (size_t i = 0; i < N_TABLES; i++)
		if (hp_image_section(m->image, name[i], &vaddr, &n))
			s->table[i] = (struct hp_range){m->bias + vaddr, m->bias + vaddr + n};
}

/* hp's own words, and the patch's about itself. */
static bool own_memory(const struct scan *s, const struct hp_map *m)
{
	const struct hp_ledger_fixed *f = &s->lv->l->fixed;

	if (m->lo < f->patch_hi && m->hi > f->patch_lo)
		return true;
	return !strncmp(m->path, "/memfd:hp-", 10) || (m->lo >= f->area_lo && m->lo < f->area_hi);
}

static void found(struct scan *s, const char *where, bool stack, size_t n)
{
	if (!n)
		return;
	if (!s->ret->in_memory)
		s->ret->stacks_only = true;
	s->ret->in_memory += n;
	s->ret->stacks_only &= stack;
	if (!*s->ret->detail || !stack)
		snprintf(s->ret->detail, sizeof(s->ret->detail), "%zu pointer%s in %.200s", n,
			 n == 1 ? "" : "s", *where ? where : "anonymous memory");
}

static int registers(struct scan *s, struct hp_err *err)
{
	struct hp_pids tids = {0};
	pid_t agent = s->lv->agent ? hp_agent_tid(s->lv->agent) : 0;
	int r = hp_look_threads(s->lv->looker, agent, &tids, NULL, err);

	for (size_t i = 0; i < tids.n && r >= 0; i++) {
		struct thread_sp *sp;
		struct hp_seen seen;
		const uint64_t *word = (const uint64_t *)&seen.regs;
		char where[64];
		size_t n = 0;

		do
			r = hp_look(s->lv->looker, tids.v[i], &s->lv->scene, &seen, NULL, NULL, err);
		while (r >= 0 && seen.verdict == HP_SEEN_AGAIN && hp_now_ns() < s->lv->deadline_ns);
		if (r < 0 || seen.verdict == HP_SEEN_GONE)
			continue;
		sp = HP_ARRAY_ADD(&s->sp);
		if (!sp)
			r = hp_err_set(err, -ENOMEM, "no memory for %zu threads", tids.n);
		else
			*sp = (struct thread_sp){tids.v[i], seen.regs.rsp, seen.altstack};
		for (size_t k = 0; k < offsetof(struct user_regs_struct, ss) / 8; k++)
			n += points_in(s, word[k]);
		snprintf(where, sizeof(where), "the registers of thread %d", tids.v[i]);
		found(s, where, true, n);
	}
	hp_pids_free(&tids);
	return r < 0 ? r : 0;
}

/* [lo, live) is dead, [live, hi) is not. */
struct stack {
	hp_addr lo, live, hi;
};

/* The stack of its own that a thread is on, in the @i-th mapping: from its guard page, which need have no
 * mapping of its own, to its control block.  False: it is another one, perhaps in the middle of a heap, and
 * nobody knows where it begins. */
static bool own_stack(const struct scan *s, size_t i, hp_addr sp, struct stack *ret)
{
	const struct hp_map *m = &s->lv->t->maps.v[i];
	struct hp_range r;

	if (!hp_stack_is_own(s->lv->t, sp, &r))
		return false;
	ret->hi = r.hi;
	ret->lo = m->lo;
	if (strcmp(m->path, "[stack]")) {
		hp_addr from = sp - m->lo < STRETCH ? m->lo : sp - STRETCH;
		hp_addr guard = hp_mem_above_guard(s->lv->t, from, sp);

		if (!guard && (i == 0 || m[-1].hi != m->lo || m[-1].prot))
			return false;
		/* Somebody else's at the end, behind its own. */
		if (r.hi - hp_stack_first_tcb(s->lv->t, sp, r.hi) > HP_TCB_WITHIN)
			return false;
		if (guard)
			ret->lo = guard;
	}
	ret->live = (sp - HP_RED_ZONE) & ~7ull;
	if (ret->live < ret->lo)
		ret->live = ret->lo;
	return true;
}

/* Below its stack pointer a leaf function keeps values, but no return address: the next call would
 * overwrite it before anybody could return there. */
static bool dead_return(const struct scan *s, const struct thread_sp *t, hp_addr at, uint64_t word)
{
	const struct hp_module *m = s->lv->fn[0].module[HP_NEW];

	return at < t->sp && t->sp - at <= HP_RED_ZONE && hp_call_ends_at(m->image, word - m->bias);
}

/* What a signal handler left on its stack of its own. */
static bool dead_altstack(const struct thread_sp *t, hp_addr at)
{
	if (!hp_in(t->altstack, at))
		return false;
	return !hp_in(t->altstack, t->sp) || at < t->sp - HP_RED_ZONE;
}

static bool dead(const struct scan *s, hp_addr at, uint64_t word)
{
	for (size_t i = 0; i < s->sp.n; i++)
		if (dead_altstack(&s->sp.v[i], at) || dead_return(s, &s->sp.v[i], at, word))
			return true;
	return false;
}

/* Of a page that cannot be read nobody reads a pointer: it is a guard, or gone meanwhile, or behind
 * the end of its file.  What follows is read all the same. */
static size_t count(struct scan *s, hp_addr at, hp_addr hi)
{
	size_t hits = 0;

	for (size_t n, got; at < hi && s->bytes < HP_POINTERS_MAX_BYTES; at += n, s->bytes += n) {
		hp_pace(&s->pace);
		n = hi - at < CHUNK ? hi - at : CHUNK;
		got = hp_mem_read_some(s->lv->t, at, s->buf, n);
		for (size_t k = 0; k < got / 8; k++)
			hits += points_in(s, s->buf[k]) && !dead(s, at + 8 * k, s->buf[k]);
		if (got < n)
			n = got ? got : HP_PAGE_DOWN(at) + HP_PAGE - at;
	}
	return hits;
}

/* It may hold stacks, several of them with guard pages in between, and other memory below and above. */
static void memory(struct scan *s, size_t i)
{
	const struct hp_map *m = &s->lv->t->maps.v[i];
	hp_addr at = m->lo;

	for (size_t k = 0; k < s->sp.n; k++) {
		struct stack st;

		if (s->sp.v[k].sp < at || s->sp.v[k].sp >= m->hi || !own_stack(s, i, s->sp.v[k].sp, &st))
			continue;
		found(s, m->path, false, count(s, at, st.lo));
		found(s, m->path, true, count(s, st.live < at ? at : st.live, st.hi));
		at = st.hi;
	}
	found(s, m->path, false, count(s, at, m->hi));
}

static int by_sp(const void *a, const void *b)
{
	const struct thread_sp *x = a, *y = b;

	return x->sp < y->sp ? -1 : x->sp > y->sp;
}

int hp_pointers_find(struct hp_live *lv, struct hp_pointers *ret, struct hp_err *err)
{
	struct scan s = {.lv = lv, .ret = ret};
	int r;

	*ret = (struct hp_pointers){0};
	s.buf = malloc(CHUNK);
	if (!s.buf)
		return hp_err_set(err, -ENOMEM, "no memory to read the target's");
	find_tables(&s);
	r = registers(&s, err);
	if (s.sp.n)
		qsort(s.sp.v, s.sp.n, sizeof(*s.sp.v), by_sp); /* of a stack the lowest counts */
	for (size_t i = 0; i < lv->t->maps.n && r >= 0; i++) {
		const struct hp_map *m = &lv->t->maps.v[i];

		if (!(m->prot & PROT_WRITE) || m->shared || own_memory(&s, m))
			continue;
		memory(&s, i);
	}
	HP_ARRAY_FREE(&s.sp);
	free(s.buf);
	return r;
}
