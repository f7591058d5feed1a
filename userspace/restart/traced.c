/* SPDX-License-Identifier: MIT */
/*
 * A call that is answered is skipped.  For a bind the thread makes other calls first, by which it gets
 * the listener (target/give.h); all signals are blocked meanwhile.
 *
 * A thread is let go where the kernel looks for signals: registers with a restart in them count there
 * (target/threads.h).  At the entry of a call PTRACE_DETACH would wake it as a signal does, and the
 * call answer EINTR (__ptrace_unlink() in kernel/ptrace.c): there the call is skipped, and made anew by
 * the thread when it is free.
 */
#include "restart/traced.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/addr.h"
#include "base/array.h"
#include "base/clock.h"
#include "hp/err.h"
#include "target/drive.h"
#include "target/give.h"
#include "target/procfs.h"
#include "target/seccomp.h"
#include "target/threads.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

#define SYSCALL_STOP	 (SIGTRAP | 0x80) /* with PTRACE_O_TRACESYSGOOD */
#define SYSCALL_INSN_LEN 2
#define BIRTH_NS	 (2 * HP_S) /* from a fork to the child's first stop */
#define OPTIONS                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |  \
	 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

/* A call that is being answered. */
struct answer {
	struct hp_substitution *s;
	struct hp_drive drive; /* at the exit of the call once it is skipped */
	uint64_t mask;
	bool skipped;
};

static struct hp_tracee *find(const struct hp_traced *t, pid_t tid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].tid == tid)
			return &t->v[i];
	return NULL;
}

static struct hp_tracee *find_or_add(struct hp_traced *t, pid_t tid)
{
	struct hp_tracee *e = find(t, tid);

	if (e)
		return e;
	e = HP_ARRAY_ADD(t);
	if (e)
		*e = (struct hp_tracee){.tid = tid};
	return e;
}

static void forget(struct hp_traced *t, pid_t tid)
{
	struct hp_tracee *e = find(t, tid);

	if (e)
		*e = t->v[--t->n];
}

static void let_go(struct hp_traced *t, pid_t tid)
{
	(void)hp_thread_release(tid); /* 0 too when it died */
	forget(t, tid);
}

static void resume(pid_t tid, int signal)
{
	(void)ptrace(PTRACE_SYSCALL, tid, NULL, signal); /* fails only if it died */
}

static int skip(struct answer *a)
{
	struct hp_drive *d = &a->drive;
	int r;

	if (hp_thread_regs(d->tid, &d->regs) < 0 ||
	    ptrace(PTRACE_GETSIGMASK, d->tid, sizeof(a->mask), &a->mask))
		return -HP_E_GONE;
	d->gadget = d->regs.rip - SYSCALL_INSN_LEN;
	d->options = OPTIONS;
	d->filtered = hp_seccomp_filtered(d->tid);
	r = hp_drive_skip(d);
	a->skipped = r == 0;
	return r;
}

/* As it was, after the call with this result. */
static void finish(const struct answer *a, int64_t result)
{
	struct user_regs_struct r = a->drive.regs;

	r.rax = (uint64_t)result;
	r.orig_rax = (uint64_t)-1;
	/* Both fail only if it died. */
	(void)hp_thread_set_regs(a->drive.tid, &r);
	(void)ptrace(PTRACE_SETSIGMASK, a->drive.tid, sizeof(a->mask), &a->mask);
}

/* As it was, before the call. */
static void begin_anew(const struct answer *a)
{
	struct user_regs_struct r = a->drive.regs;

	r.rax = r.orig_rax;
	r.rip -= SYSCALL_INSN_LEN;
	r.orig_rax = (uint64_t)-1;
	(void)hp_thread_set_regs(a->drive.tid, &r); /* fails only if it died */
}

static bool stands_still(const struct hp_told_call *c)
{
	return true;
}

static int put_by(struct hp_give *g, struct hp_drive *d, int from, int to, bool cloexec,
		  struct hp_err *err)
{
	int fd = hp_give_fd(g, d, from, err);
	const uint64_t args[6] = {(uint64_t)fd, (uint64_t)to, cloexec ? O_CLOEXEC : 0};
	int64_t r;

	if (fd < 0)
		return fd;
	r = hp_drive_syscall(d, SYS_dup3, args);
	if (r < 0)
		(void)hp_err_sys(err, (int)-r, "dup3 in thread %d", (int)d->tid);
	(void)hp_drive_syscall(d, SYS_close, (const uint64_t[6]){(uint64_t)fd}); /* or it died */
	return r < 0 ? (int)r : 0;
}

static int put_with_room(struct answer *a, pid_t process, int from, int to, bool cloexec,
			 struct hp_err *err)
{
	const uint64_t map[6] = {0, HP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 (uint64_t)-1};
	const uint64_t blocked = ~0ull;
	struct hp_give give = {.process = process, .sock = -1};
	int64_t room;
	int r;

	if (skip(a) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, a->drive.tid, sizeof(blocked), &blocked))
		return -HP_E_GONE;
	room = hp_drive_syscall(&a->drive, SYS_mmap, map);
	if (room < 0)
		return hp_err_sys(err, (int)-room, "mmap in thread %d", (int)a->drive.tid);
	give.room = (hp_addr)room;
	r = put_by(&give, &a->drive, from, to, cloexec, err);
	(void)hp_give_end(&give, &a->drive); /* or it died */
	(void)hp_drive_syscall(&a->drive, SYS_munmap, (const uint64_t[6]){give.room, HP_PAGE}); /* as above */
	return r;
}

static bool put(const struct hp_told_call *c, int from, int to, bool cloexec)
{
	struct answer *a = c->way;
	struct hp_err err = {.text = ""};
	char text[sizeof(err.text) + 64];
	int r = put_with_room(a, c->process, from, to, cloexec, &err);

	if (r == 0 || r == -HP_E_GONE)
		return r == 0;
	(void)snprintf(text, sizeof(text), "a listener could not be put into the new process: %s",
		       err.text);
	a->s->tell(a->s->arg, true, text);
	return false;
}

static bool is_told(const struct __ptrace_syscall_info *info)
{
	return info->arch == AUDIT_ARCH_X86_64 &&
	       (info->entry.nr == SYS_bind || info->entry.nr == SYS_unlink ||
		info->entry.nr == SYS_unlinkat);
}

/* True: it is at the exit of its call, which was answered. */
static bool answer(struct hp_traced *t, pid_t tid, const struct __ptrace_syscall_info *info)
{
	struct answer a = {.s = t->substitution, .drive = {.tid = tid}};
	struct hp_told_call c = {.tid = tid,
				 .nr = (long)info->entry.nr,
				 .waits = stands_still,
				 .put = put,
				 .way = &a};
	uint64_t process;
	bool ours;

	c.process = hp_status_number(tid, "Tgid", 10, &process) ? (pid_t)process : tid;
	for (size_t i = 0; i < 6; i++)
		c.args[i] = info->entry.args[i];
	ours = hp_substitute(t->substitution, &c);
	if (!ours && !a.skipped)
		return false;
	if (a.skipped || skip(&a) == 0)
		finish(&a, ours ? 0 : -EADDRINUSE);
	return true;
}

/* Calls that may have done a part of their work, and tell how much when they are interrupted; and
 * connect(2), which cannot always begin anew. */
static bool does_parts(const struct __ptrace_syscall_info *info)
{
	static const uint64_t calls[] = {
		SYS_write,    SYS_writev,    SYS_pwrite64, SYS_pwritev,	 SYS_pwritev2,
		SYS_sendto,   SYS_sendmsg,   SYS_sendmmsg, SYS_sendfile, SYS_splice,
		SYS_vmsplice, SYS_tee,	     SYS_connect,  SYS_copy_file_range,
	};

	if (info->entry.nr == SYS_recvfrom)
		return info->entry.args[3] & MSG_WAITALL;
	if (info->entry.nr == SYS_recvmsg)
		return info->entry.args[2] & MSG_WAITALL;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == info->entry.nr)
			return true;
	return false;
}

/* It follows before the thread does anything. */
static void to_event_stop(struct hp_tracee *e)
{
	/* Both fail only if it died. */
	(void)ptrace(PTRACE_INTERRUPT, e->tid, NULL, NULL);
	(void)ptrace(PTRACE_CONT, e->tid, NULL, NULL);
	e->asked = true;
}

static void at_syscall(struct hp_traced *t, struct hp_tracee *e)
{
	struct __ptrace_syscall_info info = {0};
	struct answer again = {.drive = {.tid = e->tid}};
	bool entered;

	/* Fails only if it died. */
	(void)ptrace(PTRACE_GET_SYSCALL_INFO, e->tid, sizeof(info), &info);
	entered = info.op == PTRACE_SYSCALL_INFO_ENTRY;
	if (entered && is_told(&info) && answer(t, e->tid, &info)) {
		entered = false;
	} else if (entered && t->leaving && skip(&again) == 0) {
		begin_anew(&again);
		entered = false;
	}
	e->parts = entered && does_parts(&info);
	if (t->leaving && !entered)
		to_event_stop(e);
	else
		resume(e->tid, 0);
}

static void at_event_stop(struct hp_traced *t, pid_t tid, int signal)
{
	if (t->leaving) {
		hp_thread_mend(tid);
		let_go(t, tid);
	} else if (signal == SIGTRAP) {
		resume(tid, 0);
	} else {
		(void)ptrace(PTRACE_LISTEN, tid, NULL, NULL); /* fails only if it died */
	}
}

/* A new thread or process is known from its first stop on, which is waited for: while it is under
 * way nobody may believe that all are let go. */
static void take_child(struct hp_traced *t, pid_t parent)
{
	unsigned long id = 0;
	int status;

	if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &id) || find(t, (pid_t)id))
		return;
	if (hp_thread_wait_until((pid_t)id, &status, hp_now_ns() + BIRTH_NS) == 0)
		hp_traced_take(t, (pid_t)id, status);
}

/* Whichever thread it was has the number of the first now, and the others have ended. */
static void after_exec(struct hp_traced *t, struct hp_tracee *e)
{
	unsigned long before = 0;
	pid_t tid = e->tid;

	e->parts = false;
	if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &before) == 0 && (pid_t)before != tid)
		forget(t, (pid_t)before);
}

int hp_traced_begin(struct hp_traced *t, pid_t pid)
{
	struct hp_tracee *e = find_or_add(t, pid);

	if (!e)
		return -ENOMEM;
	if (ptrace(PTRACE_SEIZE, pid, NULL, OPTIONS) == 0)
		return 0;
	forget(t, pid);
	return -errno;
}

void hp_traced_expect(struct hp_traced *t, pid_t tid)
{
	(void)find_or_add(t, tid); /* where there is no memory, it is waited for in vain */
}

void hp_traced_take(struct hp_traced *t, pid_t tid, int status)
{
	struct hp_tracee *e;
	int event = status >> 16;

	if (!WIFSTOPPED(status)) {
		forget(t, tid);
		return;
	}
	e = find_or_add(t, tid);
	if (e) /* any stop is what it was asked for: ptrace_stop() in kernel/signal.c */
		e->asked = false;
	if (!e) {
		let_go(t, tid); /* no memory: what it binds is found when it is ready */
	} else if (WSTOPSIG(status) == SYSCALL_STOP) {
		at_syscall(t, e);
	} else if (event == PTRACE_EVENT_STOP) {
		at_event_stop(t, tid, WSTOPSIG(status));
	} else {
		if (event == PTRACE_EVENT_EXEC)
			after_exec(t, e);
		else if (event)
			take_child(t, tid);
		resume(tid, event ? 0 : WSTOPSIG(status));
	}
}

/* The first thread of a process that goes on without it: it is nobody's any more. */
static bool has_ended(pid_t tid)
{
	struct hp_stat st;

	return hp_stat_read(tid, &st) < 0 || st.state == 'Z' || st.state == 'X';
}

void hp_traced_leave(struct hp_traced *t)
{
	t->leaving = true;
	for (size_t i = t->n; i-- > 0;) {
		struct hp_tracee *e = &t->v[i];

		if (has_ended(e->tid))
			forget(t, e->tid);
		else if (!e->asked && !e->parts)
			e->asked = ptrace(PTRACE_INTERRUPT, e->tid, NULL, NULL) == 0;
	}
}

void hp_traced_free(struct hp_traced *t)
{
	HP_ARRAY_FREE(t);
}
