/* SPDX-License-Identifier: MIT */
#include "daemon/peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "hp/err.h"

int hp_peer_read(int fd, struct hp_peer *ret, struct hp_err *err)
{
	struct ucred cred;
	socklen_t n = sizeof(cred), n_gids = sizeof(ret->gid) - sizeof(ret->gid[0]);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return hp_err_sys(err, errno, "who is calling (SO_PEERCRED)");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret->gid + 1, &n_gids) < 0)
		return hp_err_sys(err, errno, "who is calling (SO_PEERGROUPS)");
	ret->pid = cred.pid;
	ret->known = true;
	ret->uid = cred.uid;
	ret->gid[0] = cred.gid;
	ret->n_gids = 1 + n_gids / sizeof(ret->gid[0]);
	snprintf(ret->name, sizeof(ret->name), "process %d", cred.pid);
	return 0;
}
