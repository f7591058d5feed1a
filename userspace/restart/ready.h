/* SPDX-License-Identifier: MIT */
/* restart/ready.h – does a new generation wait for clients? */
#ifndef HP_RESTART_READY_H
#define HP_RESTART_READY_H

#include <stdbool.h>
#include <stddef.h>

#include "service/inventory.h"
#include "service/procs.h"
#include "target/blocked.h"

/* What is known of each listener, in their order. */
struct hp_readiness {
	bool *held, *waited; /* for */
	size_t n;
};

/* Looks at all descriptors and threads of @procs.  A listener is waited for when it is in an epoll
 * of theirs, or a thread is blocked in accept, poll or select (or receives, where it is a datagram
 * socket) with it.  Replaces what @ret held.  0 or -ENOMEM. */
int hp_readiness_read(struct hp_readiness *ret, const struct hp_listeners *l,
		      const struct hp_procs *procs);

/* A thread of @pid is blocked in a call that would take a connection or a datagram from @fd, or waits
 * for that to be possible. */
bool hp_blocked_waits_for(const struct hp_blocked *b, pid_t pid, int fd);

/* Makes every thread that waits for @fd begin its call anew. */
void hp_wake_acceptors(pid_t pid, int fd);

#endif
