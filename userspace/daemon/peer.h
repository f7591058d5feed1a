/* SPDX-License-Identifier: MIT */
/* daemon/peer.h – who is at the other end of a connection, and whether hpd acts for them. */
#ifndef HP_DAEMON_PEER_H
#define HP_DAEMON_PEER_H

#include <sys/types.h>

struct hp_err;

struct hp_peer {
	pid_t pid; /* for messages only: it may be another process by now */
	uid_t uid;
};

int hp_peer_read(int fd, struct hp_peer *ret, struct hp_err *err);

/* 0 or -HP_E_DENIED.  Only root for now: what a patch does, its target's rights allow, and those
 * are not compared with the peer's yet. */
int hp_peer_allow(const struct hp_peer *peer, struct hp_err *err);

#endif
