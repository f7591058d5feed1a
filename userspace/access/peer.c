/* SPDX-License-Identifier: MIT */
#include "access/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hp/err.h"

static int option(int fd, int name)
{
	socklen_t n = sizeof(int);
	int v;

	return getsockopt(fd, SOL_SOCKET, name, &v, &n) < 0 ? -errno : v;
}

/* Not every socket tells of its other end: a listening one, and one of a pair, tell of us. */
static bool is_accepted(int fd, const char *path)
{
	struct sockaddr_un self = {.sun_family = AF_UNSPEC};
	socklen_t n = sizeof(self);

	return option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_TYPE) == SOCK_STREAM &&
	       option(fd, SO_ACCEPTCONN) == 0 &&
	       getsockname(fd, (struct sockaddr *)&self, &n) == 0 &&
	       n > offsetof(struct sockaddr_un, sun_path) &&
	       !strncmp(self.sun_path, path, sizeof(self.sun_path));
}

int hp_peer_read(int fd, const char *path, struct hp_peer *ret, struct hp_err *err)
{
	struct pollfd p = {.fd = fd};
	struct ucred cred;
	socklen_t n = sizeof(cred), n_gids = sizeof(ret->gid) - sizeof(ret->gid[0]);

	if (!is_accepted(fd, path))
		return hp_err_set(err, -HP_E_DENIED, "front brings no connection of a client's");
	if (poll(&p, 1, 0) < 0 || p.revents & POLLHUP)
		return hp_err_set(err, -HP_E_GONE, "the client has left");
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
