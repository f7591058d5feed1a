/* SPDX-License-Identifier: MIT */
/*
 * watch/watch.h – counting calls in flight with eBPF.  (DESIGN 2.3)
 *
 * hpd loads the programs once (hp_watch).  A target that it knows has a view: a pair of slots, which
 * outlive it and are used again, and pins under /sys/fs/bpf/hp/<pid>/{inflight,names,session}.
 * While something counts there is a session, in one of the two slots; its probes are held by a probe
 * keeper, a small process of its own, because a SIGKILL during attach or detach leaks a uprobe in the
 * kernel: at the end of its socket it detaches and ends by itself.  When that is because the job was
 * killed, it first makes whole what the job was writing under its int3s (struct hp_held).
 *
 * Everything here survives fork(2): a job inherits watch and view.
 */
#ifndef HP_WATCH_WATCH_H
#define HP_WATCH_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/types.h>

#include "inflight.h"

struct hp_err;
struct hp_watch;
struct hp_view;
struct hp_session;

/* Loads and verifies the programs; mounts bpffs on /sys/fs/bpf when nothing is mounted there.
 * -HP_E_DENIED without the privilege. */
int hp_watch_open(struct hp_watch **ret, struct hp_err *err);
void hp_watch_close(struct hp_watch *w);
/* For hp_looker_open(); not to be closed. */
int hp_watch_snap_prog(const struct hp_watch *w);
int hp_watch_sharer_prog(const struct hp_watch *w);

/* Makes slots for the next hp_view_open() when none are free.  That takes some 30 ms, three RCU
 * grace periods, which nobody should have to wait for: hpd calls it when it has nothing else to do.
 * hp_watch_open() has done it once.  When it fails, hp_view_open() will say why. */
void hp_watch_spare(struct hp_watch *w);

/* Takes slots for @pid and pins their maps, anew where something is pinned: microseconds, unless
 * there were none to spare. -ENOSPC: all are taken. */
int hp_view_open(struct hp_view **ret, struct hp_watch *w, pid_t pid, struct hp_err *err);
/* Unpins and gives the slots back.  NULL is harmless.  Never called in a job (a fork). */
void hp_view_close(struct hp_view *v);
/* Whether a fork from here has the view's counters mapped, @too; by itself it has not.  A job
 * is such a fork; what it forks itself needs none, but for the keeper of a session. */
void hp_view_fork(const struct hp_view *v, bool too);
const char *hp_view_dir(const struct hp_view *v); /* "/sys/fs/bpf/hp/<pid>" */

/* The counters of the last session, mapped and live; valid until the next one begins. */
const struct hp_inflight *hp_view_inflight(const struct hp_view *v);
const struct hp_session_state *hp_view_state(const struct hp_view *v);

/* Removes the pin directories of all pids but those of which @keep says yes: a running hpd's. */
void hp_watch_sweep(bool (*keep)(void *arg, pid_t pid), void *arg);

/* A HOLD is pinned as /sys/fs/bpf/hp/held/<pid>-<link> while it lasts: when job and keeper are killed
 * together, the kernel goes on handling the int3.  Is anything pinned, and unpinning it. */
bool hp_held_is(pid_t pid);
void hp_held_release(pid_t pid);

enum hp_probe_role {
	HP_PROBE_ENTRY,
	HP_PROBE_EXIT,
	HP_PROBE_HOLD, /* an int3 that does nothing */
	HP_PROBE_ROLES,
};

struct hp_probe {
	uint64_t offset; /* in the file */
	uint32_t fn;	 /* index in the session's names */
};

/* Code whose first byte a HOLD keeps replaced, while what is behind it is written. */
#define HP_HELD_TAIL 4
struct hp_held {
	uint64_t addr; /* of the int3, in the process */
	uint8_t tail[HP_HELD_TAIL]; /* belongs behind the byte that the kernel will put back there */
	uint8_t pad[4];
};

/* All sites of one role in one file: one uprobe_multi link.  Only a 1-byte nop, a RET or a jump,
 * and only in a regular file (DESIGN 2.2); a HOLD lies on any instruction. */
struct hp_probe_set {
	enum hp_probe_role role;
	int file_fd;
	const struct hp_probe *v;
	size_t n;
	/* Of a HOLD only, or NULL: for each of @v what the keeper puts back when the job is killed.
	 * @mem_fd: /proc/PID/mem, open for writing; of one process in a session. */
	const struct hp_held *held;
	int mem_fd;
};

/* A new session: zeroes the view's counters, writes @names (n_fns ≤ HP_SLOT_FNS) and starts a
 * keeper.  One session a view at a time.  From a single-threaded process.  It waits (some 10 ms)
 * only when the keepers of the last two sessions that counted have not done with their detach. */
int hp_session_begin(struct hp_session **ret, struct hp_view *v, const char *const *names,
		     size_t n_fns, struct hp_err *err);

/* The keeper's process, for messages. */
pid_t hp_session_keeper(const struct hp_session *s);

/* Attaches in @pid only, set after set in the order given (exits before entries); all sets or none.
 * May be called several times in a session. -HP_E_GONE: no such process. -HP_E_TARGET: its main
 * thread has ended; then the kernel fires no probe in it. -HP_E_FAILED: the keeper died, and every
 * probe of the session with it. */
int hp_session_attach(struct hp_session *s, pid_t pid, const struct hp_probe_set *sets,
		      size_t n_sets, struct hp_err *err);

/* True while every link attached so far still exists (BPF_LINK_GET_NEXT_ID): a keeper that died
 * took the count along. */
bool hp_session_alive(const struct hp_session *s);

/* Calls in flight; what came after hp_session_gate(s, true) is not in it.  Never less than there
 * are, once hp_session_overflowed() is known to be false. */
int64_t hp_session_total(const struct hp_session *s);
bool hp_session_overflowed(const struct hp_session *s);
void hp_session_gate(struct hp_session *s, bool gated);

/* Poll it for POLLIN; hp_session_edges() then empties it and returns how many edges it held. */
int hp_session_fd(const struct hp_session *s);
int hp_session_edges(struct hp_session *s);

/* The calls of one thread as counted, oldest first.  get: depth 0 when there are none of this
 * session.  set: the list is replaced and the counters follow; only while the thread is stopped.
 * -ESRCH: the thread is gone, and its calls with it.  -EINVAL before Linux 6.9, where a thread has
 * no pidfd (commit 64bef697d33b). */
int hp_session_thread_get(const struct hp_session *s, pid_t tid, struct hp_thread_calls *ret);
int hp_session_thread_set(struct hp_session *s, pid_t tid, const struct hp_thread_calls *calls);

/* Ends counting at once and lets the keeper detach on its own time; @s is freed. *keeper_pidfd
 * (may be NULL): becomes readable when the last probe is gone; the caller closes it. */
void hp_session_end(struct hp_session *s, int *keeper_pidfd);
/* The same as if the caller had been killed: where there still is an int3 of a HOLD, the keeper
 * writes the tail that belongs behind it before the int3 goes. */
void hp_session_abandon(struct hp_session *s, int *keeper_pidfd);

#endif
