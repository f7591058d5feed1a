/* SPDX-License-Identifier: MIT */
/* verify.h – what verify, its system calls and its patch share. */
#ifndef VERIFY_H
#define VERIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Every register that a program can hold a value in, but rsp.  Offsets are known to verify_run.S. */
struct verify_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint32_t mxcsr;
	uint16_t fcw, pad;
	uint8_t st[4][16];  /* 10 of each count */
	uint8_t vec[16][32]; /* ymm, or their lower halves */
	uint64_t avx;
};
_Static_assert(sizeof(struct verify_regs) == 15 * 8 + 8 + 64 + 512 + 8, "as verify_run.S has it");

/* Loads *in, spins @loops times or, with 0, makes the system call that *in is about, and stores what
 * is there then. */
void verify_run(const struct verify_regs *in, struct verify_regs *out, uint64_t loops);

/* Values that tell this thread and this moment. */
void verify_fill(struct verify_regs *r, uint64_t seed);
/* The registers that differ, as a bit each; @call: but for rax, rcx and r11. */
unsigned verify_differ(const struct verify_regs *in, const struct verify_regs *out, bool call);

/* Starts the threads that are blocked in calls named in @kinds (a comma behind each, or "all"), and
 * those that wake them; false when one is unknown. */
bool verify_calls_start(const char *kinds);

extern unsigned long verify_blocked;   /* blocked calls that came back */
extern unsigned long verify_short;     /* … with less than they were to bring */
extern unsigned long verify_early;     /* … before their time, or a timer that lost a tick */
extern unsigned long verify_regs_bad;  /* a register was not what it was */
extern unsigned long verify_masks_bad; /* a signal mask was not what it was */

/* Calls of the replaced function in flight; who begins while the other kind is inside says so. */
struct verify_truth {
	long old_active, new_active;
	unsigned long overlap;
};
extern struct verify_truth verify_truth;

/* The sum of all; the new one adds 1,000,000. */
long verify_sum(long a, long b, long c, long d, long e, long f, long g, double x, double y);

static inline void verify_begin(long *mine, const long *other)
{
	__atomic_add_fetch(mine, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(other, __ATOMIC_SEQ_CST))
		__atomic_add_fetch(&verify_truth.overlap, 1, __ATOMIC_RELAXED);
}

static inline void verify_end(long *mine)
{
	__atomic_sub_fetch(mine, 1, __ATOMIC_SEQ_CST);
}

#endif
