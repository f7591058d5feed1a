/* SPDX-License-Identifier: MIT */
/*
 * inflight.bpf.c – counts the calls in flight, and reads a thread that is off the CPU.
 *
 * The count errs upwards only:
 *  - an entry is counted before anything else is done about it;
 *  - an exit takes away exactly the call whose stack pointer it has, and nothing if there is none;
 *  - an entry at a stack pointer that is on the list takes the older call away: its return address
 *    has just been overwritten, so it will never return (longjmp, exception);
 *  - nothing is taken away by order: on an alternate stack or in a coroutine order lies;
 *  - a call that finds no room on its thread's list stays counted for good, and overflow says so.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "inflight.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define READ_ONCE(x)  (*(volatile typeof(x) *)&(x))
#define ADD(x, n)     __sync_fetch_and_add(&(x), (n))
#define CALL_INDEX(i) ((i) & (HP_THREAD_MAX - 1))

#define NO_CALL (-1)

/*
 * The inner maps of a slot are made by user space when it takes the slot.  The variables *_of_slot
 * are templates that are never created themselves: user space reads type, size and BTF ids from
 * them, and without them clang 14 leaves the value types out of the BTF.
 */
struct inflight_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HP_SLOT_FNS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct hp_inflight);
} inflight_of_slot SEC(".maps");

struct session_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct hp_session_state);
} session_of_slot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HP_SLOT_FNS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct hp_fn_name);
} names_of_slot SEC(".maps");

struct edges_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HP_EDGES_BYTES);
} edges_of_slot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HP_SLOTS);
	__type(key, __u32);
	__array(values, struct inflight_map);
} inflight SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HP_SLOTS);
	__type(key, __u32);
	__array(values, struct session_map);
} session SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HP_SLOTS);
	__type(key, __u32);
	__array(values, struct edges_map);
} edges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hp_thread_calls);
} threads SEC(".maps");

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
			     unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* The state of the cookie's slot while its session is the one that counts, else NULL. */
static __always_inline struct hp_session_state *state_of(__u64 cookie)
{
	__u32 slot = HP_COOKIE_SLOT(cookie), zero = 0;
	struct hp_session_state *s;
	void *map = bpf_map_lookup_elem(&session, &slot);

	if (!map)
		return NULL;
	s = bpf_map_lookup_elem(map, &zero);
	if (!s || READ_ONCE(s->session) != HP_COOKIE_SESSION(cookie))
		return NULL;
	return s;
}

static __always_inline struct hp_inflight *counter_of(__u64 cookie, __u32 fn)
{
	__u32 slot = HP_COOKIE_SLOT(cookie);
	void *map = bpf_map_lookup_elem(&inflight, &slot);

	return map ? bpf_map_lookup_elem(map, &fn) : NULL;
}

static __always_inline void send_edge(__u64 cookie, __u32 kind)
{
	__u32 slot = HP_COOKIE_SLOT(cookie);
	struct hp_edge e = {.time_ns = bpf_ktime_get_ns(),
			    .kind = kind,
			    .tid = (__u32)bpf_get_current_pid_tgid()};
	void *ring = bpf_map_lookup_elem(&edges, &slot);

	if (ring)
		bpf_ringbuf_output(ring, &e, sizeof(e), 0);
}

static __always_inline void count_down(struct hp_session_state *s, __u64 cookie, __u32 fn)
{
	struct hp_inflight *c = counter_of(cookie, fn);

	if (c)
		ADD(c->in_flight, -1);
	if (ADD(s->total, -1) == 1)
		send_edge(cookie, HP_EDGE_ZERO);
}

/* Takes the call at @sp off the list; its function, or NO_CALL. */
static __always_inline int take_call(struct hp_thread_calls *calls, __u64 sp)
{
	__u32 i = calls->depth;
	int fn;

	for (int n = 0; n < HP_THREAD_MAX; n++) {
		if (!i)
			return NO_CALL;
		i--;
		if (calls->call[CALL_INDEX(i)].sp == sp)
			break;
	}
	if (calls->call[CALL_INDEX(i)].sp != sp)
		return NO_CALL;
	fn = (int)calls->call[CALL_INDEX(i)].fn;
	for (int n = 0; n < HP_THREAD_MAX; n++, i++) {
		if (i + 1 >= calls->depth)
			break;
		calls->call[CALL_INDEX(i)] = calls->call[CALL_INDEX(i + 1)];
	}
	calls->depth--;
	return fn;
}

static __always_inline void put_call(struct hp_session_state *s, struct hp_thread_calls *calls,
				     __u64 sp, __u32 fn)
{
	__u32 depth = calls->depth;

	if (depth >= HP_THREAD_MAX) {
		ADD(s->overflow, 1);
		return;
	}
	/* The compiler knows that the mask is superfluous, the verifier does not. */
	asm volatile("" : "+r"(depth));
	depth = CALL_INDEX(depth);
	calls->call[depth].sp = sp;
	calls->call[depth].fn = fn;
	calls->depth = depth + 1;
}

SEC("uprobe")
int entry(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct hp_session_state *s = state_of(cookie);
	__u32 fn = HP_COOKIE_FN(cookie);
	struct hp_thread_calls *calls;
	struct hp_inflight *c;
	int older;

	if (!s)
		return 0;
	if (READ_ONCE(s->gated)) {
		ADD(s->gate_calls, 1);
		return 0;
	}
	ADD(s->total, 1);
	ADD(s->entries, 1);
	c = counter_of(cookie, fn);
	if (c) {
		ADD(c->in_flight, 1);
		ADD(c->calls, 1);
	}
	calls = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL,
				     BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!calls) {
		ADD(s->overflow, 1);
		return 0;
	}
	if (calls->session != HP_COOKIE_OWNER(cookie)) {
		calls->session = HP_COOKIE_OWNER(cookie);
		calls->depth = 0;
	}
	older = take_call(calls, ctx->sp);
	put_call(s, calls, ctx->sp, fn);
	if (older != NO_CALL) {
		ADD(s->replaced, 1);
		count_down(s, cookie, older);
	}
	return 0;
}

/* Not "exit": that is a builtin of the compiler. */
SEC("uprobe")
int leave(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct hp_session_state *s = state_of(cookie);
	struct hp_thread_calls *calls;
	int fn = NO_CALL;

	if (!s)
		return 0;
	calls = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL, 0);
	if (calls && calls->session == HP_COOKIE_OWNER(cookie))
		fn = take_call(calls, ctx->sp);
	if (fn == NO_CALL) {
		ADD(s->unmatched, 1);
		return 0;
	}
	ADD(s->exits, 1);
	count_down(s, cookie, fn);
	if (!calls->depth && READ_ONCE(s->gated))
		send_edge(cookie, HP_EDGE_THREAD_OUT);
	return 0;
}

/* On an int3 that hp wrote: the kernel executes the instruction of the file out of line. */
SEC("uprobe")
int hold(struct pt_regs *ctx)
{
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(thread_exit, struct task_struct *p)
{
	struct hp_thread_calls *calls = bpf_task_storage_get(&threads, p, NULL, 0);
	struct hp_session_state *s;
	__u32 depth;

	if (!calls || !calls->depth)
		return 0;
	depth = calls->depth;
	calls->depth = 0;
	s = state_of(calls->session);
	if (!s)
		return 0;
	for (int i = 0; i < HP_THREAD_MAX; i++) {
		if (i >= depth)
			break;
		ADD(s->dead, 1);
		count_down(s, calls->session, calls->call[CALL_INDEX(i)].fn);
	}
	if (READ_ONCE(s->gated))
		send_edge(calls->session, HP_EDGE_THREAD_OUT);
	return 0;
}

/* The switch count before on_cpu: the other way round a thread that is switched in between the two
 * reads would look as if it had not moved.  Both ways of a switch are counted: pcount grows a moment
 * before on_cpu is set (kernel/sched/core.c, prepare_task_switch()), and a thread read in that moment
 * would seem not to have run when it is off the CPU again; nvcsw and nivcsw grow on the way out. */
SEC("syscall")
int snap(struct hp_snap *a)
{
	struct task_struct *t = bpf_task_from_pid(a->tid);
	struct pt_regs *r;

	a->found = 0;
	if (!t)
		return 0;
	a->switches = READ_ONCE(t->sched_info.pcount) + READ_ONCE(t->nvcsw) + READ_ONCE(t->nivcsw);
	a->on_cpu = (__u32)READ_ONCE(t->on_cpu);
	a->cpu = READ_ONCE(t->thread_info.cpu);
	r = (struct pt_regs *)bpf_task_pt_regs(t);
	a->regs[0] = r->r15;
	a->regs[1] = r->r14;
	a->regs[2] = r->r13;
	a->regs[3] = r->r12;
	a->regs[4] = r->bp;
	a->regs[5] = r->bx;
	a->regs[6] = r->r11;
	a->regs[7] = r->r10;
	a->regs[8] = r->r9;
	a->regs[9] = r->r8;
	a->regs[10] = r->ax;
	a->regs[11] = r->cx;
	a->regs[12] = r->dx;
	a->regs[13] = r->si;
	a->regs[14] = r->di;
	a->regs[15] = r->orig_ax;
	a->regs[16] = r->ip;
	a->regs[17] = r->cs;
	a->regs[18] = r->flags;
	a->regs[19] = r->sp;
	a->regs[20] = r->ss;
	a->altstack = t->sas_ss_sp;
	a->altstack_size = t->sas_ss_size;
	a->found = 1;
	bpf_task_release(t);
	return 0;
}

/* A process whose main thread has ended has its memory by the others. */
static __always_inline struct mm_struct *memory_of(struct task_struct *process, __u32 *threads)
{
	struct mm_struct *mm = NULL;
	struct bpf_iter_task it;
	struct task_struct *t;

	*threads = 0;
	bpf_iter_task_new(&it, process, BPF_TASK_ITER_PROC_THREADS);
	while ((t = bpf_iter_task_next(&it))) {
		if (!t->mm)
			continue;
		mm = t->mm;
		++*threads;
	}
	bpf_iter_task_destroy(&it);
	return mm;
}

/* Every thread is a user of its memory.  Mostly there are as many users as threads, and the other
 * processes need not be asked.  (Somebody who reads /proc/PID may be one for a moment.) */
static __always_inline bool nobody_else(struct mm_struct *mm, struct task_struct *process,
					__u32 known)
{
	__u32 users = (__u32)READ_ONCE(mm->mm_users.counter), threads;

	return memory_of(process, &threads) == mm && users == threads + known &&
	       users == (__u32)READ_ONCE(mm->mm_users.counter);
}

SEC("syscall")
int sharer(struct hp_sharer *a)
{
	struct task_struct *process = bpf_task_from_pid(a->pid), *t;
	struct mm_struct *mm;
	struct bpf_iter_task it;
	__u32 threads;
	__s32 found = 0;

	a->tid = 0;
	if (!process)
		return 0;
	bpf_rcu_read_lock();
	mm = memory_of(process, &threads);
	if (mm && !nobody_else(mm, process, a->except != 0)) {
		bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_THREADS);
		while ((t = bpf_iter_task_next(&it))) {
			if (t->mm != mm || t->tgid == a->pid || t->pid == a->except ||
			    t->pid <= a->after || (found && t->pid > found))
				continue;
			found = t->pid;
		}
		bpf_iter_task_destroy(&it);
	}
	bpf_rcu_read_unlock();
	a->tid = found;
	bpf_task_release(process);
	return 0;
}
