/* SPDX-License-Identifier: MIT */
/*
 * daemon/claims.h – one hpd a target, on the whole machine.
 *
 * Two hpds on different sockets must not put right what the other one is just doing.  A claim is a
 * byte of /run/hp/claims, locked at the offset of the pid by an open file description lock, which
 * goes with the hpd that holds it, however that ends.
 */
#ifndef HP_DAEMON_CLAIMS_H
#define HP_DAEMON_CLAIMS_H

#include <stdbool.h>
#include <sys/types.h>

/* The descriptor, or a negative errno. */
int hp_claims_open(void);

/* False: another hpd has it.  Taking one's own again is harmless. */
bool hp_claim_take(int claims, pid_t pid);
void hp_claim_give(int claims, pid_t pid);
/* Another hpd has it. */
bool hp_claim_is_foreign(int claims, pid_t pid);

#endif
