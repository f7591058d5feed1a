/* SPDX-License-Identifier: MIT */
/*
 * restart/substitute.h – answering the calls that the filter tells: a bind to an address on which
 * the old generation listens is answered with that very socket.
 */
#ifndef HP_RESTART_SUBSTITUTE_H
#define HP_RESTART_SUBSTITUTE_H

#include <stdbool.h>
#include <sys/types.h>

#include "restart/inventory.h"

struct hp_substitution {
	int notify_fd;
	struct hp_listeners *listeners; /* of the old generation */
	bool closed;			/* the switch was made: every call passes */
	/* Says what happened: @warning, or that a listener was handed over. */
	void (*tell)(void *arg, bool warning, const char *text);
	void *arg;
};

/* Answers one call.  False: the filter has no process left. */
bool hp_substitute(struct hp_substitution *s);

/* The old generation has left the listeners: those that @procs, the new one, wanted not to block do
 * not any more. */
void hp_substitution_settle(const struct hp_listeners *listeners, const struct hp_procs *procs);

#endif
