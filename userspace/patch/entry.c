/* SPDX-License-Identifier: MIT */
#include "patch/entry.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "elf/image.h"
#include "hp/err.h"
#include "patch/entry_page.h"
#include "target/agent.h"
#include "target/readable.h"
#include "target/stack.h"
#include "target/threads.h"

#define KEEPER_MS 5000
#define KEEPER_EACH_MS 20 /* more for each probe: the kernel takes them away one by one */
#define INT3	  0xcc

struct edit {
	unsigned fn;
	const uint8_t *want;
};

struct edits {
	struct edit *v;
	size_t n, room;
};

/* What a kill of both job and keeper between the tail and the head leaves: the kernel put the old
 * first byte back. */
static bool half_written(const struct hp_ledger_fn *f, const uint8_t now[HP_JUMP_LEN])
{
	return f->method == HP_ENTRY_INT3 && now[0] == f->orig[0] &&
	       !memcmp(now + 1, f->jump + 1, HP_JUMP_LEN - 1);
}

/* Every core of the target has seen what was written: membarrier(2). */
static int sync_cores(struct hp_live *lv, struct hp_err *err)
{
	int64_t r = hp_agent_syscall(lv->agent, SYS_membarrier,
				     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0,
				     0, 0);

	if (r == 0)
		r = hp_agent_syscall(lv->agent, SYS_membarrier,
				     MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0, 0, 0);
	return r < 0 ? hp_err_sys(err, (int)-r, "membarrier in the target") : 0;
}

/* The keeper was killed as well: its pinned probe still holds the int3.  What belongs behind the byte
 * that the kernel will put back is written first; a keeper that lives does the same. */
static int release_held(struct hp_live *lv, const struct hp_ledger_fn *f, struct hp_err *err)
{
	int r = hp_mem_poke(lv->t, f->addr + 1, f->orig + 1, HP_JUMP_LEN - 1, err);

	if (r >= 0)
		r = sync_cores(lv, err);
	if (r >= 0)
		hp_held_release(lv->t->pid);
	return r;
}

/* An int3 on such an entry is held by the keeper of a job that was killed: it goes when the keeper
 * has made the entry whole, and until then nobody else may write there. */
static int read_settled(struct hp_live *lv, const struct hp_ledger_fn *f, bool patched,
			uint8_t now[HP_JUMP_LEN], struct hp_err *err)
{
	uint64_t until = hp_now_ns() + KEEPER_MS * HP_MS;
	int r;

	for (;;) {
		r = hp_mem_read(lv->t, f->addr, now, HP_JUMP_LEN, err);
		if (r < 0 || f->method != HP_ENTRY_INT3 || now[0] != INT3 || hp_now_ns() >= until)
			return r;
		if (!patched && (r = release_held(lv, f, err)) < 0)
			return r;
		hp_pause_ns(HP_MS);
	}
}

static int verify(struct hp_live *lv, const struct hp_ledger_fn *f, bool patched, bool *done,
		  struct hp_err *err)
{
	const uint8_t *want = patched ? f->jump : f->orig, *have = patched ? f->orig : f->jump;
	uint8_t now[HP_JUMP_LEN];
	int r = read_settled(lv, f, patched, now, err);

	if (r < 0)
		return r;
	*done = !memcmp(now, want, sizeof(now));
	if (!*done && memcmp(now, have, sizeof(now)) && (patched || !half_written(f, now)))
		return hp_err_set(err, patched ? -HP_E_ENTRY : -HP_E_PARTIAL,
				  "the entry of %s was changed by somebody else: it is "
				  "%02x %02x %02x %02x %02x, not %02x %02x %02x %02x %02x",
				  f->old_name, now[0], now[1], now[2], now[3], now[4], have[0],
				  have[1], have[2], have[3], have[4]);
	return 0;
}

static int collect(struct hp_live *lv, bool patched, struct edits by_method[3], struct hp_err *err)
{
	for (unsigned i = 0; i < lv->l->fixed.n_fns; i++) {
		const struct hp_ledger_fn *f = &lv->l->fixed.fn[i];
		enum hp_entry_method m = f->method;
		struct edit *e;
		bool done;
		int r;

		if (!patched && !lv->fn[i].alone)
			continue;
		r = verify(lv, f, patched, &done, err);
		if (r < 0)
			return r;
		if (done)
			continue;
		if (m == HP_ENTRY_INT3 && !lv->ops->view)
			m = HP_ENTRY_STOP; /* a hpd without BPF has to restore it */
		e = HP_ARRAY_ADD(&by_method[m]);
		if (!e)
			return hp_err_set(err, -ENOMEM, "no memory for entries");
		*e = (struct edit){i, patched ? f->jump : f->orig};
	}
	return 0;
}

static int poke(struct hp_live *lv, const struct edit *e, size_t from, size_t n,
		struct hp_err *err)
{
	return hp_mem_poke(lv->t, lv->l->fixed.fn[e->fn].addr + from, e->want + from, n, err);
}

static int hold(struct hp_live *lv, const struct edits *es, struct hp_session **s,
		struct hp_err *err)
{
	int r = hp_session_begin(s, lv->ops->view, NULL, 0, err);

	for (size_t i = 0; i < es->n && r >= 0; i++) {
		const struct hp_ledger_fn *f = &lv->l->fixed.fn[es->v[i].fn];
		const struct hp_module *m = lv->fn[es->v[i].fn].module[HP_OLD];
		struct hp_probe probe = {.fn = es->v[i].fn};
		struct hp_held held = {.addr = f->addr};
		struct hp_probe_set set = {.role = HP_PROBE_HOLD,
					   .file_fd = m->image->fd,
					   .v = &probe,
					   .n = 1,
					   .held = &held,
					   .mem_fd = lv->t->mem_fd};

		memcpy(held.tail, f->orig + 1, sizeof(held.tail));
		if (!hp_image_offset(m->image, f->addr - m->bias, &probe.offset))
			r = hp_err_set(err, -HP_E_ENTRY, "%s is not in %s", f->old_name, m->path);
		else
			r = hp_session_attach(*s, lv->t->pid, &set, 1, err);
	}
	return r;
}

static int write_under_hold(struct hp_live *lv, const struct edits *es, bool patched,
			    struct hp_err *err)
{
	int r = hp_fault(HP_FAULT_ENTRY_HELD, err);

	/* Each core has met the int3 before what is behind it changes.  Who exchanges the page under it tells
	 * the others by interrupts on most CPUs, but where AMD's INVLPGB flushes their TLBs by none. */
	if (r >= 0)
		r = sync_cores(lv, err);
	for (size_t i = 0; i < es->n && r >= 0; i++)
		r = poke(lv, &es->v[i], 1, HP_JUMP_LEN - 1, err);
	if (r >= 0)
		r = sync_cores(lv, err);
	if (r >= 0)
		r = hp_fault(HP_FAULT_ENTRY_TAIL, err);
	for (size_t i = 0; i < es->n && r >= 0 && patched; i++)
		r = poke(lv, &es->v[i], 0, 1, err);
	return r < 0 ? r : hp_fault(HP_FAULT_ENTRY_HEAD, err);
}

/* While the uprobe is there, a thread that comes executes the *file's* first instruction out of
 * line and goes on behind it: old code, which is what runs on both sides of this step.  The kernel
 * leaves a head that is no int3 alone when it takes the probe away, and puts the file's byte back
 * over one that is; behind which the keeper puts the old tail, unless all is written. */
static int write_held(struct hp_live *lv, const struct edits *es, bool patched, struct hp_err *err)
{
	struct hp_session *s = NULL;
	hp_autoclose int keeper = -1;
	struct pollfd p = {.events = POLLIN};
	/* Nothing is written before it is known that the target may make that call. */
	int r = sync_cores(lv, err);

	if (r >= 0 && (r = hold(lv, es, &s, err)) >= 0)
		r = write_under_hold(lv, es, patched, err);
	if (!s)
		return r;
	(r < 0 ? hp_session_abandon : hp_session_end)(s, &keeper);
	if (r >= 0 && patched)
		return r;
	p.fd = keeper;
	if (keeper >= 0 && poll(&p, 1, KEEPER_MS + KEEPER_EACH_MS * (int)es->n) != 1 && r >= 0)
		r = hp_err_set(err, -HP_E_PARTIAL,
			       "the kernel did not take the probes on the entries away");
	return r;
}

struct stopped {
	struct hp_live *lv;
	const struct edits *es;
	struct hp_pids held;
	char who[256];
};

static bool stands_in(const struct stopped *s, hp_addr a)
{
	for (size_t i = 0; i < s->es->n; i++) {
		hp_addr f = s->lv->l->fixed.fn[s->es->v[i].fn].addr;

		if (a > f && a < f + HP_JUMP_LEN)
			return true;
	}
	return false;
}

static bool held(const struct stopped *s, pid_t tid)
{
	for (size_t i = 0; i < s->held.n; i++)
		if (s->held.v[i] == tid)
			return true;
	return false;
}

/* Threads are born while others are stopped: listed again until nobody is new.  -EBUSY: one is in an
 * uninterruptible wait, for which nobody is kept stopped. */
static int stop_all(struct stopped *s, struct hp_err *err)
{
	pid_t agent = hp_agent_tid(s->lv->agent);
	bool again = true;

	while (again) {
		struct hp_pids now = {0};
		int r = hp_look_threads(s->lv->looker, agent, &now, NULL, err);

		again = false;
		for (size_t i = 0; i < now.n && r >= 0; i++) {
			pid_t *tid;

			if (held(s, now.v[i]))
				continue;
			r = hp_thread_stop_sharer(s->lv->t->pid, now.v[i], err);
			if (r == -ESRCH) {
				r = 0;
				continue;
			}
			tid = r < 0 ? NULL : HP_ARRAY_ADD(&s->held);
			if (tid)
				*tid = now.v[i];
			again = true;
		}
		hp_pids_free(&now);
		if (r < 0)
			return r;
	}
	return 0;
}

/* On the stack from @sp on, which ends with @m at the latest. */
static bool returns_in(const struct stopped *s, hp_addr sp, const struct hp_map *m)
{
	static uint64_t words[1 << 15];

	for (size_t n, got, at = sp; at < m->hi; at += n) {
		n = m->hi - at < sizeof(words) ? m->hi - at : sizeof(words);
		got = hp_mem_read_some(s->lv->t, at, words, n);
		for (size_t k = 0; k < got / 8; k++)
			if (stands_in(s, words[k]))
				return true;
		if (got == n)
			continue;
		if (hp_stack_ends_at(s->lv->t, sp, at + got))
			return false;
		n = got ? got : HP_PAGE_DOWN(at) + HP_PAGE - at;
	}
	return false;
}

/* 1: nobody is in the way. */
static int clear(struct stopped *s, struct hp_err *err)
{
	for (size_t i = 0; i < s->held.n; i++) {
		struct user_regs_struct regs;
		const struct hp_map *m;

		if (hp_thread_regs(s->held.v[i], &regs) < 0)
			continue; /* it died while stopped */
		if (stands_in(s, regs.rip))
			return 0;
		m = hp_maps_find(&s->lv->t->maps, regs.rsp);
		if (m && returns_in(s, regs.rsp & ~7ull, m))
			return 0;
	}
	/* What cannot be read of a process that has ended tells nothing. */
	if (hp_target_check(s->lv->t, err) < 0)
		return -HP_E_GONE;
	return 1;
}

static void release_all(struct stopped *s)
{
	for (size_t i = 0; i < s->held.n; i++)
		(void)hp_thread_release(s->held.v[i]); /* only a dead thread refuses */
	hp_pids_free(&s->held);
}

static int write_stopped(struct hp_live *lv, const struct edits *es, struct hp_err *err)
{
	struct stopped s = {.lv = lv, .es = es};
	bool busy = false;
	int r = 0;

	do {
		r = stop_all(&s, err);
		if (r >= 0)
			r = clear(&s, err);
		busy = r == -EBUSY;
		if (busy)
			r = 0;
		if (r == 1 && hp_fault(HP_FAULT_ENTRY_STOPPED, err) < 0)
			r = err->code;
		for (size_t i = 0; i < es->n && r == 1; i++)
			if (poke(lv, &es->v[i], 0, HP_JUMP_LEN, err) < 0 ||
			    hp_fault(HP_FAULT_ENTRY_STOP, err) < 0)
				r = -HP_E_PARTIAL;
		release_all(&s);
		if (r)
			return r < 0 ? r : 0;
		hp_pause_ns(HP_MS);
	} while (hp_now_ns() < lv->deadline_ns);
	if (busy)
		return hp_err_prefix(err, -HP_E_NOT_QUIESCENT, "all threads have to be stopped");
	return hp_err_set(err, -HP_E_NOT_QUIESCENT,
			  "a thread stands in the first five bytes of %s, or returns there",
			  lv->l->fixed.fn[es->v[0].fn].old_name);
}

/* All of @by_method on the page at @page, put into a copy of it; false: one of them leaves it. */
static bool put_on_page(const struct hp_live *lv, const struct edits by_method[3], hp_addr page,
			uint8_t bytes[HP_PAGE])
{
	for (unsigned m = 0; m < 3; m++)
		for (size_t i = 0; i < by_method[m].n; i++) {
			const struct edit *e = &by_method[m].v[i];
			hp_addr at = lv->l->fixed.fn[e->fn].addr;

			if (at + HP_JUMP_LEN <= page || at >= page + HP_PAGE)
				continue;
			if (at < page || at + HP_JUMP_LEN > page + HP_PAGE)
				return false;
			memcpy(bytes + (at - page), e->want, HP_JUMP_LEN);
		}
	return true;
}

static void forget_page(const struct hp_live *lv, struct edits *es, hp_addr page)
{
	size_t n = 0;

	for (size_t i = 0; i < es->n; i++)
		if (HP_PAGE_DOWN(lv->l->fixed.fn[es->v[i].fn].addr) != page)
			es->v[n++] = es->v[i];
	es->n = n;
}

/* Entries of more than one byte go back with their page, where it has no other change. */
static int give_pages_back(struct hp_live *lv, struct edits by_method[3], struct hp_err *err)
{
	static const enum hp_entry_method whole[] = {HP_ENTRY_INT3, HP_ENTRY_STOP};

	for (unsigned w = 0; w < 2; w++) {
		struct edits *es = &by_method[whole[w]];

		for (size_t i = 0; i < es->n;) {
			hp_addr page = HP_PAGE_DOWN(lv->l->fixed.fn[es->v[i].fn].addr);
			uint8_t bytes[HP_PAGE];
			int r;

			if (hp_mem_read(lv->t, page, bytes, sizeof(bytes), NULL) < 0 ||
			    !put_on_page(lv, by_method, page, bytes) ||
			    !hp_entry_page_give_back(lv, page, bytes)) {
				i++;
				continue;
			}
			for (unsigned m = 0; m < 3; m++)
				forget_page(lv, &by_method[m], page);
			if ((r = hp_fault(HP_FAULT_ENTRY_PAGE, err)) < 0)
				return r;
		}
	}
	return 0;
}

int hp_entry_write_all(struct hp_live *lv, bool patched, struct hp_err *err)
{
	struct edits by_method[3] = {0};
	struct edits *pun = &by_method[HP_ENTRY_PUN];
	uint64_t since = hp_now_ns();
	int r = collect(lv, patched, by_method, err);

	if (r >= 0 && !patched)
		r = give_pages_back(lv, by_method, err);
	if (r >= 0 && by_method[HP_ENTRY_INT3].n)
		r = write_held(lv, &by_method[HP_ENTRY_INT3], patched, err);
	if (r >= 0 && by_method[HP_ENTRY_STOP].n)
		r = write_stopped(lv, &by_method[HP_ENTRY_STOP], err);
	for (size_t i = 0; i < pun->n && r >= 0; i++)
		if ((r = poke(lv, &pun->v[i], 0, 1, err)) >= 0)
			r = hp_fault(HP_FAULT_ENTRY_PUN, err);
	for (unsigned m = 0; m < 3; m++)
		HP_ARRAY_FREE(&by_method[m]);
	if (r >= 0)
		hp_live_report(lv, "entry", since, patched ? "written" : "restored");
	return r;
}
