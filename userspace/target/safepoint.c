/* SPDX-License-Identifier: MIT */
/*
 * target/safepoint.c – where libc may be entered a second time.
 *
 * Three parts of a stack, innermost first: the wrapper of the call that the thread is blocked in
 * (libc's own; its outermost function, which is what the program called, must be on a list), the
 * program, and the start of the thread (libc's again).  Anything else of libc or the loader in
 * between may hold a lock or be in the middle of a change.  Below a signal's trampoline the same is
 * asked of what the signal interrupted: PostgreSQL's children live in the handler that forked them.
 * In a static program libc is not told by file but by name, so such a program must have its symbols.
 */
#include "target/safepoint.h"

#include <stdio.h>
#include <string.h>

#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "target/look_priv.h"
#include "target/module.h"

#define FRAMES_MAX  512
#define START_MAX   3 /* libc's frames at the start of a thread */
#define ALIASES_MAX 16
#define ENTRY_LEN   64 /* _start */

enum owner { PROGRAM, LIBC, LOADER, NOBODY };

/* What a program calls to wait; leading underscores and "GI_" are left out. */
static const char *const waits[] = {
	"nanosleep",  "clock_nanosleep", "sleep",	 "usleep",	"poll",
	"ppoll",      "select",		 "pselect",	 "pselect64",	"epoll_wait",
	"epoll_pwait", "epoll_pwait2",	 "accept",	 "accept4",	"pause",
	"sigsuspend", "sigwait",	 "sigwaitinfo",	 "sigtimedwait", "wait",
	"waitpid",    "wait4",		 "waitid",	 "wait3",	"pthread_cond_wait",
	"pthread_cond_timedwait",	 "pthread_cond_clockwait",	"sem_wait",
	"sem_timedwait", "sem_clockwait", "pthread_join", "pthread_clockjoin_np",
	"pthread_timedjoin_np",		 "pthread_clockjoin_ex",	"syscall",
	"read",	      "semop",		 "semtimedop",	 "futex_wait",	NULL,
};

/* Where a signal interrupts that was blocked until then.  They hold nothing. */
static const char *const masks[] = {"sigprocmask", "pthread_sigmask", NULL};

static const char *const starts[] = {
	"libc_start_main", "libc_start_main_impl", "libc_start_call_main", "start_thread",
	"clone",	   "clone3",		   "start",		   "start_c",
	"libc_start_main_stage2", NULL,
};

/* Parts of libraries that must not be entered twice, wherever they are linked. */
static const char *const denied[] = {
	"malloc",  "calloc",  "realloc", "free",    "memalign", "aligned_alloc", "posix_memalign",
	"je_",	   "tc_",     "mi_",	 "Znw",	    "Zna",	"ZdlPv",	 "ZdaPv",
	"IO_",	   "printf",  "fprintf", "vprintf", "vfprintf", "snprintf",	 "vsnprintf",
	"fopen",   "fclose",  "fwrite",	 "fread",   "fflush",	"fputs",	 "puts",
	"fgets",   "getline", "dl_",	 "dlopen",  "dlclose",	"dlsym",	 "exit",
	"pthread_mutex_lock", "pthread_mutex_timedlock", "pthread_once", "getaddrinfo", NULL,
};

struct frames {
	struct hp_target *t;
	hp_addr at[FRAMES_MAX];
	bool activation[FRAMES_MAX];
	size_t n;
	bool too_deep;
};

static int collect(void *arg, const struct hp_frame *f)
{
	struct frames *fr = arg;

	if (fr->n == FRAMES_MAX) {
		fr->too_deep = true;
		return 1;
	}
	fr->activation[fr->n] = f->activation;
	fr->at[fr->n++] = f->activation ? f->pc : f->pc - 1;
	return 0;
}

static const char *plain(const char *name)
{
	name += strspn(name, "_");
	if (strncmp(name, "GI_", 3) == 0)
		name += 3 + strspn(name + 3, "_");
	if (strncmp(name, "libc_", 5) == 0 && strncmp(name, "libc_start", 10) != 0)
		name += 5;
	return name;
}

static bool listed(const char *const *list, const char *name, bool prefix)
{
	for (; *list; list++)
		if (prefix ? strncmp(name, *list, strlen(*list)) == 0 : strcmp(name, *list) == 0)
			return true;
	return false;
}

/* Does one of the names of the function at @a stand in @list?  *named: it has a name at all. */
static bool called(struct hp_target *t, hp_addr a, const char *const *list, bool prefix, bool *named)
{
	struct hp_module *m = hp_target_module_at(t, a);
	const struct hp_sym *alias[ALIASES_MAX], *f = NULL;
	const struct hp_symtab *st;
	size_t n;

	if (m && hp_module_symtab(m, &st, NULL) == 0)
		f = hp_symtab_func_at(st, a - m->bias);
	*named = f != NULL;
	if (!f)
		return false;
	if (listed(list, plain(f->name), prefix))
		return true;
	n = hp_symtab_aliases(st, f->value, alias, ALIASES_MAX);
	for (size_t i = 0; i < n && i < ALIASES_MAX; i++)
		if (listed(list, plain(alias[i]->name), prefix))
			return true;
	return false;
}

static enum owner owner_of(struct hp_target *t, hp_addr a)
{
	struct hp_module *m = hp_target_module_at(t, a);

	if (!m)
		return NOBODY;
	if (hp_module_is_loader(m))
		return LOADER;
	return hp_module_is_libc(m) ? LIBC : PROGRAM;
}

static bool has_libc(const struct hp_target *t)
{
	for (size_t i = 0; i < t->n_modules; i++)
		if (hp_module_is_libc(&t->module[i]) || hp_module_is_loader(&t->module[i]))
			return true;
	return false;
}

static bool refuse(const struct frames *fr, size_t i, const char *what, char *why, size_t n)
{
	char at[300];

	hp_target_describe(fr->t, fr->at[i], at, sizeof(at));
	(void)snprintf(why, n, "%s %s", what, at);
	return false;
}

/* musl's loader is its libc. */
static bool in_libc(struct hp_target *t, hp_addr a)
{
	enum owner o = owner_of(t, a);
	struct hp_module *m = hp_target_module_at(t, a);

	return o == LIBC || (o == LOADER && strncmp(m->name, "ld-musl", 7) == 0);
}

/* The trampoline of a signal, and the frame that it interrupted, are no callers: both stand where
 * they say. */
static bool at_trampoline(const struct frames *fr, size_t i)
{
	return i > 0 && i + 1 < fr->n && fr->activation[i] && fr->activation[i + 1];
}

/* Behind libc's frames that are innermost from @i on. */
static size_t skip_wrapper(struct frames *fr, size_t i)
{
	while (i < fr->n && in_libc(fr->t, fr->at[i]) && !at_trampoline(fr, i))
		i++;
	return i;
}

/* The program's own _start, which a stripped program does not name. */
static bool at_entry(struct hp_target *t, hp_addr a)
{
	struct hp_module *m = hp_target_module_at(t, a);

	return m && m->exe && a - m->bias - m->image->ehdr.e_entry < ENTRY_LEN;
}

/* The end of the program's frames: what follows is the start of the thread. */
static size_t skip_start(struct frames *fr, size_t first)
{
	size_t end = fr->n;
	bool named;

	if (end > first && at_entry(fr->t, fr->at[end - 1]))
		end--;
	for (int i = 0; i < START_MAX && end > first && in_libc(fr->t, fr->at[end - 1]); i++) {
		if (!called(fr->t, fr->at[end - 1], starts, false, &named) && named)
			break;
		end--;
	}
	return end;
}

/* Has libc's function at @i, which the program called, to be left alone? @interrupted: by a signal. */
static bool may_hold(const struct frames *fr, size_t i, bool interrupted)
{
	bool named;

	return !called(fr->t, fr->at[i], waits, false, &named) &&
	       !(interrupted && called(fr->t, fr->at[i], masks, false, &named));
}

static bool judge_dynamic(struct frames *fr, char *why, size_t n)
{
	size_t end = skip_start(fr, skip_wrapper(fr, 0)), from = 0;
	bool named;

	while (from < end) {
		size_t i = skip_wrapper(fr, from);

		if (i > from && may_hold(fr, i - 1, from > 0))
			return refuse(fr, i - 1, "in", why, n);
		for (; i < end && !at_trampoline(fr, i); i++)
			if (owner_of(fr->t, fr->at[i]) != PROGRAM ||
			    called(fr->t, fr->at[i], denied, true, &named))
				return refuse(fr, i, "within", why, n);
		from = i + 1;
	}
	return true;
}

static bool judge_static(struct frames *fr, char *why, size_t n)
{
	size_t first = 0;
	bool named;

	for (size_t i = 0; i < fr->n && i < 4; i++)
		if (called(fr->t, fr->at[i], waits, false, &named))
			first = i + 1;
	for (size_t i = first; i < fr->n; i++) {
		bool bad = called(fr->t, fr->at[i], denied, true, &named);

		if (!named)
			return refuse(fr, i, "in a program without symbols at", why, n);
		if (bad)
			return refuse(fr, i, "within", why, n);
	}
	/* Running code is the program's only if no frame is libc's, which no name tells. */
	return first > 0 || refuse(fr, 0, "in", why, n);
}

/* musl, for one, comes without call frame information. */
static bool refuse_walk(const struct frames *fr, pid_t tid, char *why, size_t n)
{
	char what[96];

	(void)snprintf(what, sizeof(what), "the stack of thread %d cannot be read%s", (int)tid,
		       fr->too_deep ? ": too deep" : fr->n ? ": there is no unwind information for" : "");
	if (fr->n && !fr->too_deep)
		return refuse(fr, fr->n - 1, what, why, n);
	(void)snprintf(why, n, "%s", what);
	return false;
}

bool hp_safepoint(struct hp_looker *l, pid_t tid, bool stopped, char *why, size_t n)
{
	struct frames fr;
	struct hp_reading now;
	struct hp_err err;
	enum hp_walk w;

	if (!l)
		return false;
	if (!stopped && l->progs.snap < 0)
		return true; /* nothing can be told without a stop */
	if (stopped ? hp_thread_regs(tid, &now.regs) < 0 : hp_looker_read(l, tid, &now, NULL) < 0)
		return false;
	fr.t = l->t;
	fr.n = 0;
	fr.too_deep = false;
	w = hp_unwind_walk(l->unwind, &now.regs, collect, &fr);
	if (hp_unwind_check(l->unwind, &err) < 0) {
		(void)snprintf(why, n, "%s", err.text);
		return false;
	}
	if (fr.n == 0 || w != HP_WALK_END)
		return refuse_walk(&fr, tid, why, n);
	return has_libc(l->t) ? judge_dynamic(&fr, why, n) : judge_static(&fr, why, n);
}
