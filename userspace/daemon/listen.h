/* SPDX-License-Identifier: MIT */
/* daemon/listen.h – the control socket: one hpd a path. */
#ifndef HP_DAEMON_LISTEN_H
#define HP_DAEMON_LISTEN_H

#include <stdbool.h>

struct hp_err;

/* Makes the directory, takes the lock "<path>.lock" for life, and listens on @path (0660, group hp
 * if there is one), unless somebody @handed a socket that does (-1: nobody).  -HP_E_FAILED when another
 * hpd has it; with @wait only after a second, because that one may be on its way out. */
int hp_listen_open(const char *path, bool wait, int handed, int *ret_lock, int *ret_listen,
		   struct hp_err *err);

/* Lets everybody connect (whom the policy knows is then asked for every request), or root and the
 * group hp. */
int hp_listen_open_to(const char *path, bool everybody, struct hp_err *err);

/* Takes the name away; clients that come now find nobody. The lock goes with its descriptor. */
void hp_listen_unlink(const char *path);

#endif
