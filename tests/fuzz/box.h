/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/box.h – a process in which a few instructions are run, whatever they are: nothing is
 * mapped in it but the areas below, no system call of its own is made, and a loop is ended.
 *
 * The areas are pages of one memfd, some of them at several addresses; box_page() is where the
 * fuzzer reads and writes them.
 */
#ifndef HP_TESTS_FUZZ_BOX_H
#define HP_TESTS_FUZZ_BOX_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "arch/sigframe.h"

#define BOX_PAGE 4096ull
#define BOX_FAR	 0x7ff00000ull /* a little less than 2 GB */

/* Executable: 4 pages of code, and one that lies near and at both ends of what rip reaches. */
#define BOX_CODE	0x200000000000ull
#define BOX_OTHER	(BOX_CODE + 0x100000)
#define BOX_OTHER_BELOW (BOX_CODE - BOX_FAR)
#define BOX_OTHER_ABOVE (BOX_CODE + BOX_FAR)
/* Writable: 2 pages of data, likewise, and 2 of stack. */
#define BOX_DATA	(BOX_CODE + 0x200000)
#define BOX_DATA_BELOW	(BOX_CODE - BOX_FAR + 0x100000)
#define BOX_DATA_ABOVE	(BOX_CODE + BOX_FAR - 0x100000)
#define BOX_STACK	(BOX_CODE + 0x300000)

enum box_area { BOX_IN_CODE = 0, BOX_IN_OTHER = 4, BOX_IN_DATA = 5, BOX_IN_STACK = 7, BOX_PAGES = 9 };

uint8_t *box_page(enum box_area a);

struct box_state {
	struct user_regs_struct regs;
	int signal;	    /* that ended it; SIGTRAP | 0x80: a system call, not made */
	siginfo_t info;
	uint8_t xstate[HP_XSTATE_MAX]; /* XSAVE's standard form */
};

/* Runs from @s->regs, with x87, SSE and AVX registers that are the same every time, until a signal;
 * @s is then what was left.  False: it ran for too long, or the process ended. */
int box_run(struct box_state *s);

#endif
