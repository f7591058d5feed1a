/* SPDX-License-Identifier: MIT */
/*
 * target/agent.h – hp's own thread of execution in the target's memory.  (DESIGN 3)
 *
 * A child of the target made by one clone(CLONE_VM|CLONE_FILES, exit signal 0) in a borrowed
 * thread; its first call unshares an empty descriptor table.  It makes raw system calls under
 * ptrace and never runs libc.  It dies with hpd (PTRACE_O_EXITKILL) and with the target's exec or
 * exit.  Should hpd die while the thread is still borrowed, that one reaps it.
 */
#ifndef HP_TARGET_AGENT_H
#define HP_TARGET_AGENT_H

#include <stdint.h>
#include <sys/types.h>

#include "target/look.h"
#include "target/processes.h"
#include "target/target.h"

struct hp_agent;

/* Of the target's address space, while it lives. */
#define HP_AGENT_BYTES (5 * HP_PAGE)

/* Borrows a thread for the clone.  Has a scratch page: a private mapping of a memfd "hp-agent". */
int hp_agent_start(struct hp_agent **ret, struct hp_target *t, struct hp_looker *l,
		   uint64_t deadline_ns, struct hp_err *err);

/* The same, but it keeps sharing the target's descriptors: its system calls act on those, and what it
 * is given is there.  Without a looker. */
int hp_agent_start_sharing(struct hp_agent **ret, struct hp_target *t, uint64_t deadline_ns,
			   struct hp_err *err);

/* Exits and is reaped in a borrowed thread (its exit signal is 0, so nobody else would); frees @a
 * in every case. */
int hp_agent_end(struct hp_agent *a, struct hp_err *err);

pid_t hp_agent_tid(const struct hp_agent *a);
/* How long a thread of the target stood still for its birth. */
uint64_t hp_agent_borrowed_ns(const struct hp_agent *a);

/* One system call; the result as the kernel gives it, or -HP_E_GONE. */
int64_t hp_agent_syscall(struct hp_agent *a, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
			 uint64_t a3, uint64_t a4, uint64_t a5);

/* All of its memory in the target. */
struct hp_range hp_agent_area(const struct hp_agent *a);

/* The scratch page, for arguments. */
hp_addr hp_agent_scratch(const struct hp_agent *a, size_t *n);

/* Gives the agent a duplicate of our @fd (give.h); its number there, or a negative code. */
int hp_agent_give_fd(struct hp_agent *a, int fd, struct hp_err *err);
int hp_agent_close_fd(struct hp_agent *a, int agent_fd);

/* mmap(2), munmap(2), mprotect(2) in the target with a sentence for the error.  -HP_E_PLACE:
 * something else is mapped at @at, or the kernel chose another place. */
int hp_agent_map(struct hp_agent *a, hp_addr at, size_t n, int prot, int flags, int agent_fd,
		 uint64_t offset, struct hp_err *err);
int hp_agent_unmap(struct hp_agent *a, hp_addr at, size_t n, struct hp_err *err);
int hp_agent_protect(struct hp_agent *a, hp_addr at, size_t n, int prot, struct hp_err *err);

/* Runs code at @fn that calls no libc (an IFUNC resolver, or hp's own) with two arguments; its rax.
 * It returns to @back, where an int3 has to be.  -HP_E_RELOC when it crashed, or was not back
 * after 100 ms of CPU time or 10 s. */
int hp_agent_call(struct hp_agent *a, hp_addr fn, const uint64_t args[2], hp_addr back,
		  uint64_t *ret_value, struct hp_err *err);

/* Finds what a killed hpd left of itself (children with exit signal 0 that are dead; mappings of
 * "/memfd:hp-agent"), and reaps and unmaps it.  1: there was something, 0, or a negative code;
 * -EBUSY: another hpd is at work in there. */
int hp_agent_clean(struct hp_target *t, struct hp_looker *l, struct hp_err *err);

/* Adds the processes in which an agent's memory or a dead agent is left, some of them twice. */
int hp_agent_traces(struct hp_pids *ret, struct hp_err *err);

#endif
