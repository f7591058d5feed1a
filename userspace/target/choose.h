/* SPDX-License-Identifier: MIT */
/* target/choose.h – which threads may be borrowed, best first.  Internal to target/. */
#ifndef HP_TARGET_CHOOSE_H
#define HP_TARGET_CHOOSE_H

#include <stddef.h>

#include "target/target.h"

enum { HP_CHOICE_RUNNING = 100, HP_CHOICE_NEVER = 1000 };

struct hp_choice {
	pid_t tid;
	int rank;  /* less is better; HP_CHOICE_NEVER: not to be borrowed */
	long nr;   /* the system call it is blocked in; -1: none */
	hp_addr sp;
};

struct hp_choices {
	struct hp_choice *v;
	size_t n, room;
};

/* Every thread, ordered; replaces what @ret held.  @enough: a thread of the best rank suffices,
 * and the rest need not be asked. */
int hp_choices_read(struct hp_choices *ret, const struct hp_target *t, bool enough,
		    struct hp_err *err);
void hp_choices_free(struct hp_choices *c);

/* "3 threads in read, 1 in write, 2 running" */
const char *hp_choices_describe(const struct hp_choices *c, char *buf, size_t n);

#endif
