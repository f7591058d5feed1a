/* SPDX-License-Identifier: MIT */
#include "access/open_as.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "access/peer.h"

/* It must neither block us, nor become our terminal. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

int hp_open_as(const struct hp_rights *r, int dir, const char *path, uint64_t resolve)
{
	struct open_how how = {.flags = OPEN_FLAGS, .resolve = resolve};
	gid_t own[HP_PEER_GIDS];
	int n_own = getgroups(HP_PEER_GIDS, own), k = -EPERM;

	if (n_own < 0 || setgroups(r->n_gids, r->gid) < 0)
		return -errno;
	/* setfsuid(2) takes away the capabilities that override a file's mode too. */
	(void)setfsgid(r->gid[0]); /* answers with the old one; asked for below */
	(void)setfsuid(r->uid);
	if (setfsuid((uid_t)-1) == (int)r->uid && setfsgid((gid_t)-1) == (int)r->gid[0]) {
		k = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
		k = k < 0 ? -errno : k;
	}
	(void)setfsuid(geteuid()); /* root's own can always be had again */
	(void)setfsgid(getegid());
	(void)setgroups((size_t)n_own, own);
	return k;
}
