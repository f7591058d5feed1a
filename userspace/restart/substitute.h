/* SPDX-License-Identifier: MIT */
/*
 * restart/substitute.h – what the new generation calls, and is answered in the kernel's stead: a bind
 * to an address on which the old generation listens is answered with that very socket.
 *
 * There are two ways to be told of such a call and to answer it: notified.h and traced.h.
 */
#ifndef HP_RESTART_SUBSTITUTE_H
#define HP_RESTART_SUBSTITUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "service/inventory.h"

struct hp_substitution {
	struct hp_listeners *listeners; /* of the old generation */
	bool closed;			/* the switch was made: every call passes */
	/* Says what happened: @warning, or that a listener was handed over. */
	void (*tell)(void *arg, bool warning, const char *text);
	void *arg;
};

/* A bind, unlink or unlinkat that waits for its answer. */
struct hp_told_call {
	pid_t tid, process;
	long nr;
	uint64_t args[6];
	/* False: it does no more, and what was read may have been another process's. */
	bool (*waits)(const struct hp_told_call *c);
	/* A duplicate of our @from becomes its @to, which is open. */
	bool (*put)(const struct hp_told_call *c, int from, int to, bool cloexec);
	void *way; /* of them both */
};

/* True: it is to be answered with success, and the kernel not to make it. */
bool hp_substitute(struct hp_substitution *s, const struct hp_told_call *c);

/* The old generation has left the listeners: those that @procs, the new one, wanted not to block do
 * not any more. */
void hp_substitution_settle(const struct hp_listeners *listeners, const struct hp_procs *procs);

#endif
