/* SPDX-License-Identifier: MIT */
#include "daemon/peer.h"

#include <errno.h>
#include <sys/socket.h>

#include "hp/err.h"

int hp_peer_read(int fd, struct hp_peer *ret, struct hp_err *err)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return hp_err_sys(err, errno, "who is calling (SO_PEERCRED)");
	ret->pid = cred.pid;
	ret->uid = cred.uid;
	return 0;
}

int hp_peer_allow(const struct hp_peer *peer, struct hp_err *err)
{
	if (peer->uid == 0)
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "uid %u may not use hpd: only root may (run hpctl as root)", peer->uid);
}
