/* SPDX-License-Identifier: MIT */
/*
 * upgrade/inherit.h – what one process hands to the next, and how.
 *
 * The new process is born with descriptors 0 to 2, then from 3 on what is handed over, then a stream
 * socket, then a file of names; nothing else.  HP_UPGRADE="<how many are handed over> <pid>" tells.
 * Those that are sockets to serve come first, and are offered by systemd's convention as well
 * (sd_listen_fds(3)), for a program that knows nothing of hp.
 *
 * The file begins with "hp-upgrade 1" and has five strings for each descriptor: "@", kind, network,
 * address, systemd's name or nothing.  Each string ends with a NUL.  Old and new program may be built
 * with different versions of hp: a later version reads what an earlier one wrote.
 *
 * On the socket the new process says HP_READY, and the end of it is the end of the old process.
 */
#ifndef HP_UPGRADE_INHERIT_H
#define HP_UPGRADE_INHERIT_H

#include <sys/types.h>

#include "upgrade/fds.h"

#define HP_INHERIT_FIRST  3
#define HP_INHERIT_EXTRA  2 /* the socket and the file */
#define HP_INHERIT_MARKER "HP_UPGRADE"
#define HP_READY	  'R'

/* How to ask for the environment, so that tests can play one. */
struct hp_environ {
	const char *(*get)(const char *name);
	void (*unset)(const char *name);
	int first; /* HP_INHERIT_FIRST */
};

extern const struct hp_environ hp_environ_own;

/* Takes what is handed over into f->inherited, out of the environment.  *ret_sock is the socket to
 * the parent, or -1 without one. */
int hp_inherit_take(struct hp_fds *f, const struct hp_environ *env, int *ret_sock,
		    struct hp_err *err);

/* Sorts f->used so that what is offered to anybody comes first; returns how many. */
size_t hp_inherit_sort(struct hp_fds *f);
/* The file of names for f->used. */
int hp_inherit_names(const struct hp_fds *f, struct hp_err *err);
/* "a:b:c", systemd's names for the first @n of f->used.  NULL: no memory. */
char *hp_inherit_labels(const struct hp_fds *f, size_t n);

#endif
