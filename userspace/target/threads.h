/* SPDX-License-Identifier: MIT */
/* target/threads.h – the threads of a process, and stopping one of them. */
#ifndef HP_TARGET_THREADS_H
#define HP_TARGET_THREADS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/clock.h"
#include "target/procfs.h"
#include "target/target.h"

struct hp_err;

/* The thread ids now; threads may be born and die while it reads. Replaces what @ret held. */
int hp_threads_list(const struct hp_target *t, struct hp_pids *ret, struct hp_err *err);
/* The same for a process that is no target; -ESRCH, -ENOMEM. */
int hp_threads_of(pid_t pid, struct hp_pids *ret);

/* Stops thread @tid of process @pid (PTRACE_SEIZE, PTRACE_INTERRUPT, the event stop; a signal that comes
 * first is delivered).  A system call that it interrupts is restarted when the thread goes on.
 * @options: PTRACE_O_*, in force from the stop on.  -ESRCH: it is gone, and be it that its number is
 * another process's thread's by now, which is let go; -HP_E_DENIED: somebody else traces it; -EBUSY: it is
 * in an uninterruptible wait: not touched, or left as by hp_thread_leave() when the wait began as it was
 * asked to stop. */
int hp_thread_stop(pid_t pid, pid_t tid, long options, struct hp_err *err);
/* The same for a thread of @pid, or of a process that shares its memory: hp_look_threads(). */
int hp_thread_stop_sharer(pid_t pid, pid_t tid, struct hp_err *err);

/* How long a thread that was asked to stop is waited for. */
#define HP_THREAD_STOP_NS (2 * HP_S)

/* For a thread that was asked to stop and does not: only one that stopped can be let go (ptrace(2),
 * PTRACE_DETACH).  It stays traced.  When it has stopped, it is let go by the next call of
 * hp_thread_stop() or hp_thread_release() for any thread, or is what hp_thread_stop() for itself
 * returns; at the latest the kernel lets it go, with the end of this process. */
void hp_thread_leave(pid_t tid);

/* PTRACE_DETACH; 0 also when the thread died meanwhile. */
int hp_thread_release(pid_t tid);

/* waitpid(2) for a stop of a traced thread; -ESRCH when it ended instead. */
int hp_thread_wait(pid_t tid, int *status);
/* The same until @deadline_ns: then -ETIMEDOUT, and it still runs. */
int hp_thread_wait_until(pid_t tid, int *status, uint64_t deadline_ns);

/* At an event stop: a system call that answered -EINTR only because of the stop will be restarted
 * by the kernel.  hp_thread_stop() does it. */
void hp_thread_mend(pid_t tid);

int hp_thread_regs(pid_t tid, struct user_regs_struct *ret);
int hp_thread_set_regs(pid_t tid, const struct user_regs_struct *regs);

/* /proc/TID/comm, for messages; returns @buf. */
const char *hp_thread_name(pid_t tid, char *buf, size_t n);

#endif
