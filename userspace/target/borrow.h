/* SPDX-License-Identifier: MIT */
/*
 * target/borrow.h – one application thread, borrowed for a moment.  (DESIGN 3)
 *
 * Before its registers change, a full rt_sigreturn frame that holds registers, extended state and
 * signal mask is laid below its red zone, and whatever it is made to run returns into that frame:
 * the thread restores itself if hpd is killed at any instruction.
 */
#ifndef HP_TARGET_BORROW_H
#define HP_TARGET_BORROW_H

#include <stddef.h>
#include <stdint.h>

#include "target/look.h"
#include "target/target.h"

struct hp_borrow;

enum hp_borrow_need {
	HP_BORROW_SYSCALL, /* one system call that cannot block */
	HP_BORROW_CALL,	   /* code that may call libc: a safe point is needed: blocked in a
			      syscall whose wrapper was called from outside libc and ld.so */
};

/* Chooses and stops a thread: an infinite futex wait first, then wait4, accept, epoll, poll,
 * nanosleep, … (an allow-list of calls that lose nothing when they are begun again: choose.c), then
 * a running thread outside rseq sections; at least 16 KB readable below rsp.
 * @deadline_ns: hp_now_ns() time until which to look for one.  @l may be NULL for
 * HP_BORROW_SYSCALL.  -HP_E_NO_SAFE_POINT says what every thread was doing. */
int hp_borrow_begin(struct hp_borrow **ret, struct hp_target *t, struct hp_looker *l,
		    enum hp_borrow_need need, uint64_t deadline_ns, struct hp_err *err);
pid_t hp_borrow_tid(const struct hp_borrow *b);
/* hp_now_ns() when it was asked to stop. */
uint64_t hp_borrow_since_ns(const struct hp_borrow *b);

/* The result as the kernel gives it (-errno in -4095..-1); -HP_E_GONE when the thread died. */
int64_t hp_borrow_syscall(struct hp_borrow *b, long nr, const uint64_t args[6]);

/* Scratch memory on the borrowed stack, valid until hp_borrow_end(). */
hp_addr hp_borrow_scratch(struct hp_borrow *b, size_t *n);

/* What a called function may return into, so that its result is known: stores rax at
 * @result_word, then rt_sigreturn.  To be mapped executable at @at.  Without a stub the call
 * returns into the program's own signal return trampoline, which overwrites rax.
 * -ERANGE: the two are more than 2 GB apart. */
#define HP_BORROW_STUB_LEN 14
int hp_borrow_stub_fill(uint8_t out[HP_BORROW_STUB_LEN], hp_addr at, hp_addr result_word);

/* Calls the function at @fn with up to six integer arguments, as a signal handler would be called:
 * it returns into the frame.  *ret_value is its rax as the stub stored it; 0 when @return_stub is
 * 0.  All signals are blocked meanwhile, but for those that a fault raises.
 * -HP_E_HOOK: it crashed (signal named), tried to end or replace the process, or was not back at
 * @deadline_ns, with only pcs in @abandonable on its stack: it is abandoned.  -HP_E_PARTIAL: the
 * same with other code on its stack, libc's perhaps.  One that crashed there is abandoned all the
 * same, since it cannot go on, with whatever it held; one that was not back is let go and runs on,
 * and puts itself back when it is done.  The thread is ready for hp_borrow_end() in every case. */
int hp_borrow_call(struct hp_borrow *b, hp_addr fn, const uint64_t *args, size_t n_args,
		   hp_addr return_stub, hp_addr result_word, uint64_t deadline_ns,
		   struct hp_range abandonable, uint64_t *ret_value, struct hp_err *err);

/* Puts the thread back exactly: registers, extended state, mask, and the blocked system call it was
 * in (restarted without the application's notice).  Frees @b in every case. */
int hp_borrow_end(struct hp_borrow *b, struct hp_err *err);

#endif
