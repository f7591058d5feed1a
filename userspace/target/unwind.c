/* SPDX-License-Identifier: MIT */
/*
 * target/unwind.c – the asking side of a walk: it gives registers and memory, and is given frames.
 *
 * All frames are there before the first callback, which may ask the same reader for names.  What a
 * lying one can do is to say that a thread stands where it does not: to the target whose files made
 * it lie.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/displace.h"
#include "target/module.h"
#include "target/readable.h"
#include "target/unwind_priv.h"

#define ENTRY_LEN   64	    /* _start */
#define WINDOWS_MAX (16u << 10) /* 256 MB of one stack */

static const struct hp_verb verb = {
	.what = "stack frames",
	.record_size = sizeof(struct walk_record),
	.max_records = HP_WALK_BATCH + 1,
	.turns = true,
	.answer = hp_walk_answer,
};

int hp_unwind_open(struct hp_unwind **ret, struct hp_target *t, struct hp_err *err)
{
	struct hp_unwind *u = calloc(1, sizeof(*u));

	if (!u)
		return hp_err_sys(err, ENOMEM, "unwinder for process %d", (int)t->pid);
	u->t = t;
	*ret = u;
	return 0;
}

void hp_unwind_free(struct hp_unwind *u)
{
	if (!u)
		return;
	HP_ARRAY_FREE(&u->frames);
	free(u);
}

int hp_unwind_check(const struct hp_unwind *u, struct hp_err *err)
{
	return hp_reader_check(u->t->reader, err);
}

void hp_unwind_displaced(struct hp_unwind *u, struct hp_displaced *d)
{
	u->displaced = d;
}

static struct hp_question question(const struct hp_unwind *u)
{
	return (struct hp_question){.verb = &verb, .arg = u->t};
}

int hp_unwind_expect(struct hp_unwind *u, struct hp_err *err)
{
	const struct hp_question q = question(u);

	return hp_reader_post(u->t->reader, &q, err);
}

/* Once after all changes: it costs a process, and a tenth of a millisecond a module. */
int hp_unwind_prepare(struct hp_unwind *u, struct hp_err *err)
{
	const struct hp_question q = question(u);
	struct hp_told a;
	int r = u->lacks ? hp_reader_start(u->t->reader, err) : 0;

	if (r < 0)
		return r;
	u->lacks = false;
	if (hp_reader_knows(u->t->reader, NULL) && u->prepared == hp_reader_pid(u->t->reader))
		return hp_reader_check(u->t->reader, err);
	r = hp_reader_ask(u->t->reader, &q, &a, err);
	if (r < 0)
		return r;
	u->prepared = hp_reader_pid(u->t->reader);
	hp_told_free(&a);
	return 0;
}

/* Did the walk end in a file that was mapped after the reader was made?  Most walks never come to such
 * a one, and another reader costs a process. */
static bool came_to_new_file(const struct hp_unwind *u)
{
	const struct hp_frame *f = u->frames.n ? &u->frames.v[u->frames.n - 1] : NULL;
	const struct hp_module *m = NULL;

	if (f && f->no_cfi)
		m = hp_target_module_at(u->t, f->activation ? f->pc : f->pc - 1);
	return m && !hp_reader_knows(u->t->reader, m->image);
}

void hp_frame_regs(const struct hp_frame *f, struct user_regs_struct *ret)
{
	const uint64_t *r = f->reg;

	*ret = (struct user_regs_struct){.rax = r[0],  .rdx = r[1],  .rcx = r[2],  .rbx = r[3],
					 .rsi = r[4],  .rdi = r[5],  .rbp = r[6],  .rsp = f->sp,
					 .r8 = r[8],   .r9 = r[9],   .r10 = r[10], .r11 = r[11],
					 .r12 = r[12], .r13 = r[13], .r14 = r[14], .r15 = r[15],
					 .rip = f->pc};
}

/* The assembly at the root of a thread that carries no CFI in some C libraries (musl). */
static bool is_root(struct hp_unwind *u, hp_addr at)
{
	static const char *const names[] = {"_start", "__clone", "clone", "__clone3", "clone3"};
	struct hp_module *m = hp_target_module_at(u->t, at);
	const struct hp_symtab *st;
	const struct hp_sym *f;

	if (!m)
		return false;
	if (at - m->bias - m->image->ehdr.e_entry < ENTRY_LEN)
		return true;
	f = hp_module_symtab(m, &st, NULL) == 0 ? hp_symtab_func_at(st, at - m->bias) : NULL;
	for (size_t i = 0; f && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(f->name, names[i]) == 0)
			return true;
	return false;
}

void hp_unwind_seed(struct hp_unwind *u, hp_addr lo, const uint8_t *bytes, size_t n)
{
	u->seed_lo = lo;
	u->seed = bytes;
	u->seed_n = n;
}

/* --- one walk ----------------------------------------------------------------------------------- */

struct walk {
	struct hp_unwind *u;
	size_t n_windows;
	hp_addr need;	     /* with WALK_NEED last */
	enum walk_kind last; /* WALK_FRAME: nothing yet */
	enum hp_walk result;
};

static int add_frame(struct hp_unwind *u, const struct walk_record *r)
{
	struct hp_frame *f = HP_ARRAY_ADD(&u->frames);

	if (!f)
		return -ENOMEM;
	*f = (struct hp_frame){.pc = r->pc,
			       .sp = r->sp,
			       .activation = r->flags & WALK_ACTIVATION,
			       .no_cfi = r->flags & WALK_NO_CFI};
	memcpy(f->reg, r->reg, sizeof(f->reg));
	return 0;
}

static const char *fault_of(const struct walk *w, const struct walk_record *r, bool last, int more)
{
	switch (r->kind) {
	case WALK_FRAME:
		return w->u->frames.n == HP_FRAMES_MAX ? "too many frames" : NULL;
	case WALK_NEED:
	case WALK_MORE:
		return last && more ? NULL : "a pause in the middle";
	case WALK_DONE:
		return last && !more && (r->flags == HP_WALK_END || r->flags == HP_WALK_BROKEN ||
					 r->flags == HP_WALK_LIMIT)
			       ? NULL
			       : "an end in the middle";
	}
	return "a record of no kind";
}

static int take(struct walk *w, const struct hp_told *a, int more)
{
	const struct walk_record *r = a->record;

	w->last = WALK_FRAME;
	for (size_t i = 0; i < a->n; i++) {
		const char *fault = fault_of(w, &r[i], i + 1 == a->n, more);

		if (fault)
			return hp_reader_distrust(w->u->t->reader, &verb, NULL, "%s", fault);
		w->last = r[i].kind;
		/* It waits to go on, and cannot. */
		if (w->last == WALK_FRAME && add_frame(w->u, &r[i]) < 0)
			return hp_reader_distrust(w->u->t->reader, &verb, NULL,
						  "more frames than there is memory for");
		if (w->last == WALK_NEED)
			w->need = r[i].pc;
		if (w->last == WALK_DONE)
			w->result = (enum hp_walk)r[i].flags;
	}
	if (w->last == WALK_FRAME)
		return hp_reader_distrust(w->u->t->reader, &verb, NULL, "frames without an end");
	return more;
}

bool hp_unwind_read_more(const struct hp_unwind *u)
{
	return u->read_more;
}

static size_t read_window(struct hp_unwind *u, hp_addr lo, uint8_t *buf)
{
	size_t n;

	u->read_more |= lo - u->seed_lo >= u->seed_n;
	if (lo - u->seed_lo >= u->seed_n)
		return hp_mem_read_some(u->t, lo, buf, HP_WALK_WINDOW);
	n = u->seed_n - (lo - u->seed_lo);
	n = n < HP_WALK_WINDOW ? n : HP_WALK_WINDOW;
	memcpy(buf, u->seed + (lo - u->seed_lo), n);
	return n;
}

/* Goes on with what the reader waits for. */
static int go_on(struct walk *w, const struct hp_question *q, struct hp_told *a)
{
	uint8_t window[HP_WALK_WINDOW];
	size_t n = 0;

	if (w->last == WALK_NEED) {
		if (++w->n_windows > WINDOWS_MAX)
			return hp_reader_distrust(w->u->t->reader, &verb, NULL, "an endless stack");
		n = read_window(w->u, w->need, window);
	}
	return hp_reader_tell(w->u->t->reader, q, window, n, a, NULL);
}

/* Why it is broken then: hp_unwind_check(). */
static enum hp_walk collect(struct hp_unwind *u, const struct hp_question *q)
{
	struct walk w = {.u = u, .result = HP_WALK_BROKEN};
	struct hp_told a;
	int more = hp_reader_ask(u->t->reader, q, &a, NULL);

	while (more >= 0) {
		more = take(&w, &a, more);
		hp_told_free(&a);
		if (more <= 0)
			break;
		more = go_on(&w, q, &a);
	}
	return more < 0 ? HP_WALK_BROKEN : w.result;
}

static enum hp_walk tell(struct hp_unwind *u, enum hp_walk result, hp_frame_fn fn, void *arg)
{
	for (size_t i = 0; i < u->frames.n; i++) {
		const struct hp_frame *f = &u->frames.v[i];

		if (fn(arg, f))
			return HP_WALK_STOPPED;
		if (f->no_cfi)
			return is_root(u, f->activation ? f->pc : f->pc - 1) ? HP_WALK_END
									     : HP_WALK_BROKEN;
	}
	return result;
}

enum hp_walk hp_unwind_walk(struct hp_unwind *u, const struct user_regs_struct *regs,
			    hp_frame_fn fn, void *arg)
{
	struct {
		struct walk_start head;
		uint8_t stack[HP_WALK_WINDOW];
	} start = {.head = {.reg = {regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi, regs->rdi,
				    regs->rbp, regs->rsp, regs->r8, regs->r9, regs->r10, regs->r11,
				    regs->r12, regs->r13, regs->r14, regs->r15, regs->rip},
			    .lo = u->seed_n ? u->seed_lo : regs->rsp & ~7ull}};
	struct hp_question q = question(u);
	enum hp_walk result = HP_WALK_BROKEN;

	u->read_more = false;
	do {
		u->frames.n = 0;
		if (hp_unwind_prepare(u, NULL) < 0)
			break;
		if (u->displaced)
			hp_displace_bring(u->displaced, hp_reader_pid(u->t->reader));
		q.bytes = &start;
		q.n_bytes = sizeof(start.head) + read_window(u, start.head.lo, start.stack);
		result = collect(u, &q);
		u->lacks = came_to_new_file(u);
		/* Where there is one patch there may be another, and one more reader does for all. */
		if (u->lacks)
			(void)hp_modules_open_all(u->t, NULL); /* what cannot be opened ends a walk */
	} while (u->lacks && !u->displaced);
	u->seed_n = 0;
	/* Nothing is begun beside a thread that was displaced: the next look at it will. */
	return u->lacks ? HP_WALK_BROKEN : tell(u, result, fn, arg);
}
