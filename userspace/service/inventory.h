/* SPDX-License-Identifier: MIT */
/* service/inventory.h – the listeners of a program: the sockets on which its clients call. */
#ifndef HP_SERVICE_INVENTORY_H
#define HP_SERVICE_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "service/path.h"
#include "service/procs.h"

struct hp_err;

#define HP_ADDR_TEXT 160

struct hp_listener {
	int fd; /* a duplicate of ours; -1: looked at only */
	ino_t ino;
	pid_t pid; /* a process that holds it … */
	int at;	   /* … as this descriptor */
	int family, type, protocol;
	bool v6only, reuseport;
	bool optional;		/* perhaps none that clients know: a UDP port out of those that the
				   kernel gives to who asks for none */
	bool handed;		/* to the new generation (restart/substitute.h) */
	bool to_nonblock;	/* … which wants it not to block */
	int status;		/* O_NONBLOCK … of the open file, as it was found */
	struct hp_file_id file; /* of a unix socket with a path: what it is bound to, and that leads to */
	uint64_t shield;	/* the mount that keeps that path (restart/shield.h); 0: none */
	struct sockaddr_storage addr;
	socklen_t addr_len;
	char text[HP_ADDR_TEXT]; /* "tcp 127.0.0.1:80" */
};

struct hp_listeners {
	struct hp_listener *v;
	size_t n, room;
};

/* Every listener that one of @procs holds, once.  Each is duplicated; with @keep the duplicates
 * stay.  A process that is gone has none.  Replaces what @ret held. */
int hp_listeners_read(struct hp_listeners *ret, const struct hp_procs *procs, bool keep,
		      struct hp_err *err);
/* Closes the duplicates. */
void hp_listeners_close(struct hp_listeners *l);
/* Forgets those that the new generation did not ask for. */
void hp_listeners_drop_unhanded(struct hp_listeners *l);
void hp_listeners_free(struct hp_listeners *l);

struct hp_listener *hp_listeners_find(const struct hp_listeners *l, ino_t ino);

/* Does process @pid have any of them? */
bool hp_listeners_held_by(const struct hp_listeners *l, pid_t pid);

/* Is @a what a client would reach as @b? */
bool hp_listener_same_address(const struct hp_listener *a, const struct hp_listener *b);

/* What @fd, a socket of ours, is. -ENOTSOCK, … */
int hp_listener_describe(struct hp_listener *ret, int fd);
/* Its address in words; returns @buf (HP_ADDR_TEXT bytes). */
const char *hp_address_text(const struct hp_listener *l, char *buf);

#endif
