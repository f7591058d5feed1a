/* SPDX-License-Identifier: MIT */
/*
 * target/inject.h – making one stopped thread do something else, and putting it back.
 * Internal to target/.
 *
 * From hp_inject_begin() on, the thread restores itself if hp dies: what its registers say leads,
 * at every instruction, to the frame below its red zone.  That fixes the orders in inject.c.
 */
#ifndef HP_TARGET_INJECT_H
#define HP_TARGET_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

#include "arch/sigframe.h"
#include "target/target.h"

#define HP_INJECT_SCRATCH 4096
#define HP_INJECT_ROOM	  (16u << 10) /* at least so much must be readable below rsp */
#define HP_INJECT_BELOW	  2048 /* of which so much below the frame is for further frames */

struct hp_inject {
	const struct hp_target *t;
	pid_t tid;
	struct user_regs_struct saved; /* as they are to be put back */
	uint64_t call; /* the number of the blocked call, if it is in one that is restarted */
	uint64_t mask;
	uint8_t xstate[HP_XSTATE_MAX];
	size_t xstate_n;
	bool called;	    /* code ran that may have changed the extended state */
	bool restart_block; /* … and a restart block of the thread's own call is lost */
	bool filtered;	    /* by seccomp */
	long nothing;	    /* a system call that does nothing and that the filter allows */
	uint64_t pass_on;   /* signals that came meanwhile: bit n-1 */
	hp_addr frame, scratch;
	hp_addr back; /* what a system call returns into: .frame, or what leads there (.frame - .back
		       * is HP_INJECT_BELOW at most) */
	struct hp_sigframe image;
	pid_t child; /* born of an injected clone: stopped, PTRACE_O_EXITKILL set; 0: none */
};

/* @tid is stopped at an event stop.  @floor: where the mapping begins that its stack is in.
 * -HP_E_TARGET when the stack has no room, or a seccomp filter or Syscall User Dispatch would not
 * let it return; nothing was changed then. */
int hp_inject_begin(struct hp_inject *inj, struct hp_target *t, pid_t tid, hp_addr floor,
		    struct hp_err *err);

/* The result as the kernel gives it; -EPERM, and no call, when a seccomp filter is against it;
 * -HP_E_GONE. */
int64_t hp_inject_syscall(struct hp_inject *inj, long nr, const uint64_t args[6]);

/* Leads the thread, wherever it is stopped, to its frame without running anything more of what was
 * injected; a system call at whose entry it is stopped is skipped.  Afterwards it is at an event
 * stop, ready for the next call or for hp_inject_end(). */
int hp_inject_abandon(struct hp_inject *inj);

/* Everything as it was, and let go. -HP_E_GONE. */
int hp_inject_end(struct hp_inject *inj);

#endif
