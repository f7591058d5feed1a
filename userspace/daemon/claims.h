/* SPDX-License-Identifier: MIT */
/*
 * daemon/claims.h – one hpd a target, on the whole machine.
 *
 * Two hpds on different sockets must not put right what the other one is just doing.  A claim is a
 * byte of /run/hp/claims, locked at the offset of the pid by a lock of the process (fcntl(2), F_SETLK),
 * which goes with the hpd that holds it, however that ends: a fork of it has none.  It goes as well
 * when hpd closes any descriptor of that file, so that it is opened once.  An hpd in another mount
 * namespace has another file there: so the process itself is locked as well, by flock(2) of a pidfd,
 * where pidfds are inodes of their own (Linux 6.9).  Everybody may do that, so that only a lock of
 * root's counts; and a fork has it too until it has closed it, so that only one of the living does.
 */
#ifndef HP_DAEMON_CLAIMS_H
#define HP_DAEMON_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who has locked what, of all on the machine, as it was when it was first asked: to be asked of many
 * processes in a row it is read once.  Anybody can make it long. */
struct hp_locks {
	struct hp_lock {
		dev_t dev;
		ino_t ino;
		pid_t holder;
	} *v;
	size_t n, room;
	bool read;
};
void hp_locks_free(struct hp_locks *l);

/* The descriptor, or a negative errno. */
int hp_claims_open(void);

/* False: another hpd has it.  Taking one's own again is harmless.  *held, -1 at first, is the lock of
 * the process: a fork must not keep it. */
bool hp_claim_take(int claims, pid_t pid, int *held, struct hp_locks *locks);
void hp_claim_give(int claims, pid_t pid, int *held);
/* Another hpd has it. */
bool hp_claim_is_foreign(int claims, pid_t pid, struct hp_locks *locks);

#endif
