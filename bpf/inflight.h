/* SPDX-License-Identifier: MIT */
/*
 * inflight.h – the records that the BPF programs share with user space.
 *
 * A session counts in a slot (0 … HP_SLOTS-1).  The slot's inner maps hang in the outer maps under
 * its number; those of a target's last session are pinned under /sys/fs/bpf/hp/<pid>/.  A probe
 * knows where to count from its cookie: slot, session, function.  Probes of an earlier session that
 * are still being taken down count nothing.
 */
#ifndef HP_INFLIGHT_H
#define HP_INFLIGHT_H

#define HP_SLOTS      512 /* two for each target that is watched */
#define HP_SLOT_FNS   1024 /* functions watched in one target at once */
#define HP_THREAD_MAX 64  /* calls of one thread that are told apart */
#define HP_NAME_MAX   160 /* as much as a ledger holds */
#define HP_EDGES_BYTES 65536 /* ring buffer of a slot */

#define HP_COOKIE(slot, session, fn)                                                               \
	(((__u64)(slot) << 48) | ((__u64)((session)&0xffffffffu) << 16) | (__u64)(fn))
#define HP_COOKIE_SLOT(c)    ((__u32)((c) >> 48))
#define HP_COOKIE_SESSION(c) ((__u32)((c) >> 16))
#define HP_COOKIE_FN(c)	     ((__u32)((c)&0xffff))
#define HP_COOKIE_OWNER(c)   ((c) & ~0xffffull) /* slot and session: HP_COOKIE(slot, session, 0) */

/* Value of the pinned map "inflight"; key: index of the function in "names". */
struct hp_inflight {
	__s64 in_flight; /* calls between entry and exit now */
	__u64 calls;	 /* entries counted since the session began */
};

/* Value of the pinned map "names". */
struct hp_fn_name {
	char name[HP_NAME_MAX];
};

/* The one value of the pinned map "session". */
struct hp_session_state {
	__u64 session;	/* number of the session; 0: nobody counts */
	__u64 gated;	/* nonzero: entries are counted in gate_calls only */
	__s64 total;	/* sum of in_flight */
	__u64 entries, exits;
	__u64 gate_calls; /* entries met while gated */
	__u64 replaced;	  /* an entry at the stack pointer of an older one: longjmp, exception */
	__u64 dead;	  /* calls that ended with their thread */
	__u64 overflow;	  /* a thread with more than HP_THREAD_MAX calls: the count is unknown */
	__u64 unmatched;  /* exits without an entry: calls begun before the probes */
};

/* Per thread, in task storage; key: pidfd of the thread. */
struct hp_thread_call {
	__u64 sp; /* stack pointer at the entry */
	__u32 fn;
	__u32 pad;
};
struct hp_thread_calls {
	__u64 session; /* whose calls these are: HP_COOKIE(slot, session, 0) */
	__u32 depth;
	__u32 pad;
	struct hp_thread_call call[HP_THREAD_MAX];
};

/* In the ring buffer of a slot. */
enum hp_edge_kind { HP_EDGE_ZERO = 1, HP_EDGE_THREAD_OUT = 2 };
struct hp_edge {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 kind;
	__u32 tid;
};

/* Argument and result of the program "snap". */
struct hp_snap {
	__s32 tid;
	__u32 found;
	__u64 switches; /* read before on_cpu */
	__u32 on_cpu;
	__u32 cpu; /* that it runs on, or ran on last */
	__u64 regs[21]; /* struct pt_regs: r15 … ss */
	__u64 altstack, altstack_size; /* sigaltstack(2); size 0: none */
};

/* Argument and result of the program "sharer". */
struct hp_sharer {
	__s32 pid;    /* whose memory is meant */
	__s32 except; /* a thread that is known to share it; 0: none */
	__s32 after;  /* only threads with a higher number */
	__s32 tid;    /* the first thread of another process that shares it; 0: there is none */
};

#endif
