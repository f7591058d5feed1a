/* SPDX-License-Identifier: MIT */
/*
 * target/pidns.h – the numbers that processes have in other pid namespaces (pid_namespaces(7)).
 *
 * hp calls a thread by the number that its own /proc has for it.  A system call that a thread of the
 * target makes, and a userfaultfd that one of them opened, speak of the target's own numbers.
 */
#ifndef HP_TARGET_PIDNS_H
#define HP_TARGET_PIDNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "target/target.h"

/* What process @viewer calls process or thread @tid; 0: it cannot see it, or one of them is gone. */
pid_t hp_pidns_seen_by(pid_t viewer, pid_t tid);

/* Would the next child of thread @tid be the first process of a namespace, and its end that of the
 * namespace? */
bool hp_pidns_unborn(pid_t pid, pid_t tid);

/* Which thread has which number in its own namespace. */
struct hp_pidns {
	struct hp_pidns_thread {
		pid_t nr, tid;
	} *v;
	size_t n, room;
	bool other; /* than ours; false: the numbers are the same */
};

/* Replaces what @ret held. */
int hp_pidns_read(struct hp_pidns *ret, const struct hp_target *t, struct hp_err *err);
void hp_pidns_free(struct hp_pidns *p);

/* Our number of the target's thread @nr; reads again when it is not known; 0: there is none. */
pid_t hp_pidns_tid(struct hp_pidns *p, const struct hp_target *t, pid_t nr);

#endif
