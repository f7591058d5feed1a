/* SPDX-License-Identifier: MIT */
/* service/sockets.h – the sockets of a network namespace on which clients call, by inode.
 *
 * Which they are is asked of the kernel (tcpdiag.h, /proc/PID/net), so that no other socket of a
 * program is ever touched: a duplicate of a live connection, for as long as it is there, hides its
 * close.  Those of TCP are of this process's namespace, in which @pid has to be. */
#ifndef HP_SERVICE_SOCKETS_H
#define HP_SERVICE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_err;

struct hp_inodes {
	ino_t *v; /* sorted */
	size_t n, room;
};

/* Those that listen, and the datagram sockets that are bound and not connected.  Replaces what
 * @ret held. */
int hp_sockets_read(struct hp_inodes *ret, pid_t pid, struct hp_err *err);
/* After inodes were added by hand. */
void hp_inodes_sort(struct hp_inodes *inodes);
bool hp_inodes_have(const struct hp_inodes *inodes, ino_t ino);
void hp_inodes_free(struct hp_inodes *inodes);

#endif
