/* SPDX-License-Identifier: MIT */
/*
 * target/drive.h – a stopped thread that hp traces, made to make system calls.
 *
 * Nothing puts it back by itself should hp die: that is inject.h's affair, or it dies with hp.
 */
#ifndef HP_TARGET_DRIVE_H
#define HP_TARGET_DRIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/addr.h"

#define HP_AGENT_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

struct hp_drive {
	pid_t tid;
	long options;		      /* PTRACE_O_*, as they are set; TRACESYSGOOD is one of them */
	struct user_regs_struct regs; /* of a call, but for what says the call */
	hp_addr gadget;		      /* a system call instruction */
	bool filtered; /* its seccomp filter is suspended for a call, once that is seen to be hp's */
	bool swallow;  /* signals; else they are delivered: only SIGSTOP comes, the others are blocked */
	bool step;     /* in one stop, not two; the trap flag would be left if hp died */
	pid_t *child;  /* where one that is born of a clone goes: stopped, with HP_AGENT_OPTIONS; or NULL */
	struct user_regs_struct call; /* hp_drive_prepare() */
};

/* The result as the kernel gives it, or -HP_E_GONE. */
int64_t hp_drive_syscall(struct hp_drive *d, long nr, const uint64_t args[6]);

/* The same in two steps: its registers are set (-HP_E_GONE), and it runs. */
int hp_drive_prepare(struct hp_drive *d, long nr, const uint64_t args[6]);
int64_t hp_drive_run(const struct hp_drive *d);

/* It is at the entry of a system call, with d->regs: that is not made, and it is at its exit. */
int hp_drive_skip(struct hp_drive *d);

#endif
