/* SPDX-License-Identifier: MIT */
/*
 * daemon/manager.h – the service manager that started hpd, if one did: systemd's conventions.
 *
 * It may hand over the listening socket (sd_listen_fds(3)), hears when hpd is ready and when it
 * ends, and that it is alive (sd_notify(3), sd_watchdog_enabled(3)).
 */
#ifndef HP_DAEMON_MANAGER_H
#define HP_DAEMON_MANAGER_H

#include "ipc/ring.h"

struct hp_err;

struct hp_manager {
	char notify[108];     /* where it listens; "": nobody does */
	uint64_t watchdog_ns; /* it wants to hear of us so often; 0: not */
	int listen_fd;	      /* handed over; -1: none */
	struct hp_ring *ring;
	struct hp_timer beat;
};

/* Reads the environment, and clears what is hpd's alone from it: what hpd starts is not meant.
 * -HP_E_USAGE when something else is handed over than the listening unix socket @path. */
int hp_manager_take(struct hp_manager *m, const char *path, struct hp_err *err);

/* hpd takes requests: says so, and from then on that it is alive. */
void hp_manager_ready(struct hp_manager *m, struct hp_ring *ring);
/* hpd is about to end. */
void hp_manager_stopping(struct hp_manager *m);

#endif
