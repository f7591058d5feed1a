/* SPDX-License-Identifier: MIT */
/* access/peer.h – who is at the other end of a connection; what they may do, access.h says. */
#ifndef HP_ACCESS_PEER_H
#define HP_ACCESS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_err;

#define HP_PEER_GIDS 1025 /* one more than anybody's own list on a usual system; -ERANGE beyond */

struct hp_peer {
	char name[64]; /* "process 7", "127.0.0.1:4242": for messages only */
	pid_t pid;     /* likewise: it may be another process by now; 0: on TCP */
	bool known;    /* uid is that of the user who opened the other end */
	uid_t uid;
	gid_t gid[HP_PEER_GIDS]; /* the primary one first */
	size_t n_gids;
};

/* Both are of a connection that front says it has accepted.  -HP_E_DENIED: it is none, and front lies;
 * -HP_E_GONE: the other end is closed, and nobody may act for it any more. */

/* On the unix socket @path: as they were when the connection was made (unix(7): SO_PEERCRED;
 * SO_PEERGROUPS, Linux 4.13). */
int hp_peer_read(int fd, const char *path, struct hp_peer *ret, struct hp_err *err);

/* On the listening TCP socket @listener, without groups.  The user is known when the other end is on this
 * machine, in this network namespace, and still open. */
int hp_peer_read_tcp(int fd, int listener, struct hp_peer *ret, struct hp_err *err);

#endif
