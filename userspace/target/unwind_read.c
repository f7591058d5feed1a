/* SPDX-License-Identifier: MIT */
/*
 * target/unwind_read.c – libdwfl, in the reader, with registers and memory that it is told.
 *
 * libdwfl goes on by the frame pointer where an address has no call frame information, and so
 * skips frames without a word (backends/x86_64_unwind.c).  Every address is therefore looked up
 * first: one without information ends the walk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <elfutils/libdwfl.h>

#include "elf/image.h"
#include "hp/err.h"
#include "target/unwind_priv.h"

#define KNOWN_PCS 1024 /* a power of two */

/* This process walks the stacks of one target, whose files do not change for as long as it lives. */
static struct walker {
	Dwfl *dwfl;
	Elf *vdso;
	/* pc -> it has CFI; 0: empty */
	struct known {
		hp_addr pc;
		bool cfi;
	} known[KNOWN_PCS];
	/* one walk */
	struct hp_question *q;
	struct hp_reply *reply;
	struct walk_start start;
	hp_addr window_lo;
	size_t window_n;
	uint8_t window[HP_WALK_WINDOW];
	size_t n_frames, in_batch;
	enum hp_walk result;
} the_walker;

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	return 0;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg)
{
	*thread_arg = arg;
	return true;
}

static bool put(struct walker *w, const struct walk_record *r)
{
	struct walk_record *slot = hp_reply_add(w->reply);

	if (slot)
		*slot = *r;
	return slot;
}

/* Says what there is and waits. */
static bool turn(struct walker *w, enum walk_kind kind, hp_addr at)
{
	const struct walk_record r = {.kind = kind, .pc = at};

	if (!put(w, &r))
		return false;
	hp_reply_turn(w->reply, w->q);
	w->in_batch = 0;
	return true;
}

static void set_window(struct walker *w, hp_addr lo, const void *bytes, size_t n)
{
	w->window_lo = lo;
	w->window_n = n < sizeof(w->window) ? n : sizeof(w->window);
	memcpy(w->window, bytes, w->window_n);
}

static bool in_window(const struct walker *w, hp_addr at, size_t n)
{
	return w->window_n >= n && at - w->window_lo <= w->window_n - n;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *ret, void *arg)
{
	struct walker *w = arg;

	if (!in_window(w, at, sizeof(*ret))) {
		hp_addr lo = at & ~7ull;

		if (!turn(w, WALK_NEED, lo))
			return false;
		set_window(w, lo, w->q->bytes, w->q->n_bytes);
	}
	if (!in_window(w, at, sizeof(*ret)))
		return false;
	memcpy(ret, w->window + (at - w->window_lo), sizeof(*ret));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct walker *w = arg;

	return dwfl_thread_state_registers(thread, 0, HP_WALK_REGS, w->start.reg);
}

/* --- the files ---------------------------------------------------------------------------------- */

/* Nothing is looked for by name: each module has its file, mapped, but the vDSO, which is none. */
static int find_elf(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base, char **file,
		    Elf **elf)
{
	*elf = *data ? hp_image_elf(*data) : the_walker.vdso;
	return -1;
}

static int find_debuginfo(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base,
			  const char *file, const char *link, GElf_Word crc, char **ret)
{
	return -1;
}

static const Dwfl_Callbacks callbacks = {.find_elf = find_elf, .find_debuginfo = find_debuginfo};

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

/* Without it a walk from there is broken, and says so.  The file is read when a walk comes there: there
 * may be many, and few of them are met. */
static void report(struct walker *w, const char *name, hp_addr lo, hp_addr hi,
		   const struct hp_image *im)
{
	Dwfl_Module *m = dwfl_report_module(w->dwfl, name, lo, hi);
	void **data;

	if (m && dwfl_module_info(m, &data, NULL, NULL, NULL, NULL, NULL, NULL))
		*data = (void *)im;
}

/* libdwfl takes the bias from where the first segment begins, its alignment included. */
static void report_module(struct walker *w, const struct hp_module *m)
{
	const struct hp_image *im = m->image;

	for (size_t i = 0; i < im->n_phdrs; i++)
		if (im->phdr[i].p_type == PT_LOAD) {
			report(w, m->path, m->bias + (im->phdr[i].p_vaddr & -im->phdr[i].p_align),
			       m->span.hi, im);
			return;
		}
}

static int build(struct walker *w, const struct hp_target *t, struct hp_err *err)
{
	if (w->dwfl)
		return 0;
	w->dwfl = dwfl_begin(&callbacks);
	if (!w->dwfl)
		return hp_err_set(err, -ENOMEM, "libdwfl: %s", dwfl_errmsg(-1));
	dwfl_report_begin(w->dwfl);
	for (size_t i = 0; i < t->n_modules; i++)
		report_module(w, &t->module[i]);
	if (t->vdso) {
		elf_version(EV_CURRENT);
		w->vdso = elf_memory((char *)t->vdso, t->vdso_n);
		report(w, "vdso", t->vdso_at, t->vdso_at + t->vdso_n, NULL);
	}
	if (dwfl_report_end(w->dwfl, NULL, NULL) ||
	    !dwfl_attach_state(w->dwfl, NULL, t->pid, &thread_callbacks, w))
		return hp_err_set(err, -HP_E_TARGET, "cannot unwind process %d: %s", (int)t->pid,
				  dwfl_errmsg(-1));
	return 0;
}

/* --- a walk ------------------------------------------------------------------------------------- */

static bool cfi_covers(Dwarf_CFI *cfi, Dwarf_Addr at)
{
	Dwarf_Frame *frame;

	if (!cfi || dwarf_cfi_addrframe(cfi, at, &frame))
		return false;
	free(frame);
	return true;
}

/* @at: inside the instruction that stands or calls there. */
static bool has_cfi(struct walker *w, hp_addr at)
{
	struct known *k = &w->known[(at ^ at >> 10) % KNOWN_PCS];
	Dwfl_Module *m;
	Dwarf_Addr bias;

	if (k->pc == at)
		return k->cfi;
	k->pc = at;
	k->cfi = false;
	m = dwfl_addrmodule(w->dwfl, at);
	if (m) {
		Dwarf_CFI *cfi = dwfl_module_eh_cfi(m, &bias);

		k->cfi = cfi_covers(cfi, at - bias);
		if (!k->cfi) {
			cfi = dwfl_module_dwarf_cfi(m, &bias);
			k->cfi = cfi_covers(cfi, at - bias);
		}
	}
	return k->cfi;
}

static bool read_frame(struct walker *w, Dwfl_Frame *state, struct walk_record *r)
{
	bool activation;
	Dwarf_Word word;

	*r = (struct walk_record){.kind = WALK_FRAME};
	if (!dwfl_frame_pc(state, &r->pc, &activation) ||
	    dwfl_frame_reg(state, HP_WALK_SP, &r->sp))
		return false;
	for (unsigned i = 0; i < 16; i++)
		r->reg[i] = dwfl_frame_reg(state, i, &word) == 0 ? word : 0;
	r->flags = (activation ? WALK_ACTIVATION : 0) |
		   (has_cfi(w, activation ? r->pc : r->pc - 1) ? 0 : WALK_NO_CFI);
	return true;
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct walker *w = arg;
	struct walk_record r;

	w->result = HP_WALK_BROKEN;
	if (!read_frame(w, state, &r) || !put(w, &r) || (r.flags & WALK_NO_CFI))
		return DWARF_CB_ABORT;
	if (++w->n_frames == HP_FRAMES_MAX) {
		w->result = HP_WALK_LIMIT;
		return DWARF_CB_ABORT;
	}
	/* One place is for what may have to be asked before the next frame. */
	if (++w->in_batch == HP_WALK_BATCH && !turn(w, WALK_MORE, 0))
		return DWARF_CB_ABORT;
	return DWARF_CB_OK;
}

int hp_walk_answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct walker *w = &the_walker;
	struct hp_question mine = *q;
	struct walk_record done = {.kind = WALK_DONE};
	int r = build(w, q->arg, err);

	if (r < 0 || q->n_bytes < sizeof(w->start)) /* no more than to build it */
		return r;
	w->q = &mine;
	w->reply = reply;
	memcpy(&w->start, q->bytes, sizeof(w->start));
	set_window(w, w->start.lo, (const uint8_t *)q->bytes + sizeof(w->start),
		   q->n_bytes - sizeof(w->start));
	w->n_frames = w->in_batch = 0;
	w->result = HP_WALK_BROKEN;
	r = dwfl_getthread_frames(w->dwfl, ((const struct hp_target *)q->arg)->pid, on_frame, w);
	/* 0: it came to a frame whose return address is undefined; 1: on_frame() aborted. */
	done.flags = r == 0 ? HP_WALK_END : r < 0 ? HP_WALK_BROKEN : w->result;
	(void)put(w, &done); /* there is room: a batch is less than the verb allows */
	return 0;
}
