/* SPDX-License-Identifier: MIT */
/* daemon/peer.h – who is at the other end of a connection; what they may do, access.h says. */
#ifndef HP_DAEMON_PEER_H
#define HP_DAEMON_PEER_H

#include <stddef.h>
#include <sys/types.h>

struct hp_err;

#define HP_PEER_GIDS 1025 /* one more than anybody's own list on a usual system; -ERANGE beyond */

struct hp_peer {
	pid_t pid; /* for messages only: it may be another process by now */
	uid_t uid;
	gid_t gid[HP_PEER_GIDS]; /* the primary one first */
	size_t n_gids;
};

/* As they were when the connection was made (unix(7): SO_PEERCRED; SO_PEERGROUPS, Linux 4.13). */
int hp_peer_read(int fd, struct hp_peer *ret, struct hp_err *err);

#endif
