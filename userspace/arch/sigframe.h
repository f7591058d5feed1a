/* SPDX-License-Identifier: MIT */
/*
 * arch/sigframe.h – a signal frame built by hand (x86-64 struct rt_sigframe, see
 * arch/x86/kernel/signal_64.c): rt_sigreturn(2) at its address puts registers, extended state and
 * signal mask of a borrowed thread back, without anybody's help.
 */
#ifndef HP_ARCH_SIGFRAME_H
#define HP_ARCH_SIGFRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/addr.h"

#define HP_XSTATE_MAX 16384
#define HP_SIGFRAME_MAX (HP_XSTATE_MAX + 1024)
#define HP_RED_ZONE 128
#define HP_SIGFRAME_UC 440
#define HP_SIGFRAME_DI 112 /* where the first argument lies, from .frame on */

struct hp_sigframe {
	hp_addr frame; /* rsp for the restorer: *frame is the return address (the restorer) */
	hp_addr base;  /* lowest byte of the image */
	size_t n;
	uint8_t bytes[HP_SIGFRAME_MAX]; /* to be written at base */
};

/* Builds the frame below @sp (which already leaves out the red zone).  @regs: what is to be
 * restored, rip and rax as they shall be; @xstate: NT_X86_XSTATE as PTRACE_GETREGSET gives it;
 * @restorer: address of `mov $15,%rax; syscall` in the target.  -EOVERFLOW: xstate too large;
 * -EINVAL: too short to be one. */
int hp_sigframe_build(struct hp_sigframe *ret, hp_addr sp, const struct user_regs_struct *regs,
		      uint64_t sigmask, const uint8_t *xstate, size_t xstate_n, hp_addr restorer);

/* Makes @f restore a thread that makes system call @nr at @ip, with its stack at @sp and all signals
 * blocked.  The first HP_SIGFRAME_UC bytes, from .frame on, may as well be written at another address:
 * the extended state is found by its own, and shared. */
void hp_sigframe_retarget(struct hp_sigframe *f, hp_addr ip, hp_addr sp, long nr,
			  const uint64_t args[4]);

#endif
