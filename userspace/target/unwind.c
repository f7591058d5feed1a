/* SPDX-License-Identifier: MIT */
/*
 * target/unwind.c – libdwfl with the target's registers and memory given by hp.
 *
 * libdwfl goes on by the frame pointer where an address has no call frame information, and so
 * skips frames without a word (backends/x86_64_unwind.c).  Every address is therefore looked up
 * first: one without information ends the walk as broken, unless it is a known outermost function.
 */
#include "target/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <elfutils/libdwfl.h>

#include "base/fd.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/module.h"
#include "target/stack.h"

#define WINDOW	     (64u << 10)
#define KNOWN_PCS    1024 /* a power of two */
#define ENTRY_LEN    64	  /* _start */
#define REG_SP	     7
#define DWARF_REGS   17
#define VDSO_MAX     (64u << 10)

struct hp_unwind {
	struct hp_target *t;
	Dwfl *dwfl;
	bool built; /* what is reported is as it should be */
	uint64_t modules_seen;
	/* pc -> it has CFI; 0: empty */
	struct known {
		hp_addr pc;
		bool cfi;
	} known[KNOWN_PCS];
	/* one walk */
	const struct user_regs_struct *regs;
	hp_addr seed_lo;
	const uint8_t *seed;
	size_t seed_n;
	hp_addr window_lo;
	size_t window_n;
	uint8_t window[WINDOW];
	hp_frame_fn fn;
	void *arg;
	size_t n_frames;
	enum hp_walk result;
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	return 0;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread_arg)
{
	*thread_arg = arg;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *ret, void *arg)
{
	struct hp_unwind *u = arg;

	if (u->seed_n >= sizeof(*ret) && at - u->seed_lo <= u->seed_n - sizeof(*ret)) {
		memcpy(ret, u->seed + (at - u->seed_lo), sizeof(*ret));
		return true;
	}
	if (u->window_n < sizeof(*ret) || at - u->window_lo > u->window_n - sizeof(*ret)) {
		u->window_lo = at & ~7ull;
		u->window_n = hp_stack_read(u->t, u->window_lo, u->window, sizeof(u->window));
	}
	if (u->window_n < sizeof(*ret) || at - u->window_lo > u->window_n - sizeof(*ret))
		return false;
	memcpy(ret, u->window + (at - u->window_lo), sizeof(*ret));
	return true;
}

void hp_frame_regs(const struct hp_frame *f, struct user_regs_struct *ret)
{
	struct user_regs_struct r = {.rip = f->pc, .rsp = f->sp};
	/* as in set_registers() */
	unsigned long long *to[DWARF_REGS - 1] = {&r.rax, &r.rdx, &r.rcx, &r.rbx, &r.rsi, &r.rdi,
						  &r.rbp, &r.rsp, &r.r8,  &r.r9,  &r.r10, &r.r11,
						  &r.r12, &r.r13, &r.r14, &r.r15};

	for (unsigned i = 0; i < DWARF_REGS - 1; i++) {
		Dwarf_Word w;

		if (i != REG_SP && dwfl_frame_reg(f->state, i, &w) == 0)
			*to[i] = w;
	}
	*ret = r;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct user_regs_struct *r = ((struct hp_unwind *)arg)->regs;
	/* in DWARF's order: psABI 3.6.2 */
	Dwarf_Word w[DWARF_REGS] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
				    r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
				    r->r12, r->r13, r->r14, r->r15, r->rip};

	return dwfl_thread_state_registers(thread, 0, DWARF_REGS, w);
}

/* Nothing is looked for by name: the mapped files are reported as descriptors. */
static int find_elf(Dwfl_Module *m, void **data, const char *name, Dwarf_Addr base, char **file,
		    Elf **elf)
{
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

/* @fd stays the caller's. */
static bool report(struct hp_unwind *u, const char *name, int fd, hp_addr bias)
{
	hp_autoclose int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0 || !dwfl_report_elf(u->dwfl, name, name, copy, bias, true))
		return false;
	(void)HP_TAKE_FD(copy); /* closed by dwfl_end() */
	return true;
}

/* The vDSO is no file: a copy of it is one. */
static void report_vdso(struct hp_unwind *u)
{
	const struct hp_map *m = NULL;
	uint8_t *bytes;
	size_t n;

	for (size_t i = 0; i < u->t->maps.n && !m; i++)
		if (strcmp(u->t->maps.v[i].path, "[vdso]") == 0)
			m = &u->t->maps.v[i];
	if (!m || m->hi - m->lo > VDSO_MAX)
		return;
	n = m->hi - m->lo;
	bytes = malloc(n);
	hp_autoclose int fd = memfd_create("vdso", MFD_CLOEXEC);
	/* Without it a walk from there is broken, and says so. */
	if (bytes && fd >= 0 && hp_mem_read(u->t, m->lo, bytes, n, NULL) == 0 &&
	    hp_write_all(fd, bytes, n) == 0)
		(void)report(u, "vdso", fd, m->lo);
	free(bytes);
}

/* Once after all changes: it costs a tenth of a millisecond a module. */
int hp_unwind_prepare(struct hp_unwind *u, struct hp_err *err)
{
	if (u->built)
		return 0;
	dwfl_end(u->dwfl);
	memset(u->known, 0, sizeof(u->known));
	u->dwfl = dwfl_begin(&callbacks);
	if (!u->dwfl)
		return hp_err_set(err, -ENOMEM, "libdwfl: %s", dwfl_errmsg(-1));
	dwfl_report_begin(u->dwfl);
	for (size_t i = 0; i < u->t->n_modules; i++)
		(void)report(u, u->t->module[i].path, u->t->module[i].image->fd,
			     u->t->module[i].bias); /* as for the vDSO */
	report_vdso(u);
	if (dwfl_report_end(u->dwfl, NULL, NULL) ||
	    !dwfl_attach_state(u->dwfl, NULL, u->t->pid, &thread_callbacks, u))
		return hp_err_set(err, -HP_E_FAILED, "cannot unwind process %d: %s", (int)u->t->pid,
				  dwfl_errmsg(-1));
	u->built = true;
	return 0;
}

int hp_unwind_open(struct hp_unwind **ret, struct hp_target *t, struct hp_err *err)
{
	struct hp_unwind *u = calloc(1, sizeof(*u));

	if (!u)
		return hp_err_sys(err, ENOMEM, "unwinder for process %d", (int)t->pid);
	u->t = t;
	u->modules_seen = t->modules_seen;
	*ret = u;
	return 0;
}

void hp_unwind_free(struct hp_unwind *u)
{
	if (!u)
		return;
	dwfl_end(u->dwfl);
	free(u);
}

void hp_unwind_refresh(struct hp_unwind *u)
{
	if (u->modules_seen != u->t->modules_seen)
		u->built = false;
	u->modules_seen = u->t->modules_seen;
}

static bool cfi_covers(Dwarf_CFI *cfi, Dwarf_Addr at)
{
	Dwarf_Frame *frame;

	if (!cfi || dwarf_cfi_addrframe(cfi, at, &frame))
		return false;
	free(frame);
	return true;
}

/* @at: inside the instruction that stands or calls there. */
static bool has_cfi(struct hp_unwind *u, hp_addr at)
{
	struct known *k = &u->known[(at ^ at >> 10) % KNOWN_PCS];
	Dwfl_Module *m;
	Dwarf_Addr bias;

	if (k->pc == at)
		return k->cfi;
	k->pc = at;
	k->cfi = false;
	m = dwfl_addrmodule(u->dwfl, at);
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

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct hp_unwind *u = arg;
	struct hp_frame f = {.state = state};
	Dwarf_Addr pc;
	Dwarf_Word sp;
	hp_addr at;

	u->result = HP_WALK_BROKEN;
	if (!dwfl_frame_pc(state, &pc, &f.activation) || dwfl_frame_reg(state, REG_SP, &sp))
		return DWARF_CB_ABORT;
	f.pc = pc;
	f.sp = sp;
	at = f.activation ? f.pc : f.pc - 1;
	f.no_cfi = !has_cfi(u, at);
	if (u->fn(u->arg, &f)) {
		u->result = HP_WALK_STOPPED;
		return DWARF_CB_ABORT;
	}
	if (f.no_cfi) {
		u->result = is_root(u, at) ? HP_WALK_END : HP_WALK_BROKEN;
		return DWARF_CB_ABORT;
	}
	if (++u->n_frames == HP_FRAMES_MAX) {
		u->result = HP_WALK_LIMIT;
		return DWARF_CB_ABORT;
	}
	return DWARF_CB_OK;
}

void hp_unwind_seed(struct hp_unwind *u, hp_addr lo, const uint8_t *bytes, size_t n)
{
	u->seed_lo = lo;
	u->seed = bytes;
	u->seed_n = n;
}

enum hp_walk hp_unwind_walk(struct hp_unwind *u, const struct user_regs_struct *regs,
			    hp_frame_fn fn, void *arg)
{
	int r;

	if (hp_unwind_prepare(u, NULL) < 0) {
		u->seed_n = 0;
		return HP_WALK_BROKEN;
	}
	u->regs = regs;
	u->fn = fn;
	u->arg = arg;
	u->n_frames = 0;
	u->window_n = 0;
	u->result = HP_WALK_BROKEN;
	r = dwfl_getthread_frames(u->dwfl, u->t->pid, on_frame, u);
	u->seed_n = 0;
	/* 0: it came to a frame whose return address is undefined; 1: on_frame() aborted. */
	if (r == 0)
		return HP_WALK_END;
	return r < 0 ? HP_WALK_BROKEN : u->result;
}
