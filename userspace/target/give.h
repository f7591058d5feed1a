/* SPDX-License-Identifier: MIT */
/*
 * target/give.h – a duplicate of a descriptor of ours, put into another process by a driven thread
 * of it.
 *
 * Over a socketpair that it makes: works across mount, network, pid and user namespaces, and
 * whatever rights it has given up.
 */
#ifndef HP_TARGET_GIVE_H
#define HP_TARGET_GIVE_H

#include "target/drive.h"

struct hp_err;

#define HP_GIVE_ROOM 128

struct hp_give {
	pid_t process; /* the thread's */
	hp_addr room;  /* HP_GIVE_ROOM bytes of its memory, for arguments */
	int sock;      /* our end of the pair; -1: there is none yet */
	int peer;      /* the thread's, its number there */
};

/* The number that @fd, close-on-exec, has there, or a negative code.  -HP_E_GONE: the thread ended. */
int hp_give_fd(struct hp_give *g, struct hp_drive *by, int fd, struct hp_err *err);
/* Closes the pair.  -HP_E_GONE. */
int hp_give_end(struct hp_give *g, struct hp_drive *by);

#endif
