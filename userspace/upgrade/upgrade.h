/* SPDX-License-Identifier: MIT */
/* upgrade/upgrade.h – struct hp_upgrade.  Locks are taken in the order of the members. */
#ifndef HP_UPGRADE_UPGRADE_H
#define HP_UPGRADE_UPGRADE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/array.h"
#include "hp/upgrade.h"
#include "upgrade/child.h"
#include "upgrade/fds.h"
#include "upgrade/inherit.h"

enum hp_upgrade_state { HP_UPGRADE_SERVING, HP_UPGRADE_STOPPED, HP_UPGRADE_UPGRADED };

/* Pieces of work under way, and what makes no more of them begin. */
struct hp_drain_hook {
	void (*fn)(void *arg);
	void *arg;
};

struct hp_work {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned long n;
	HP_ARRAY(struct hp_drain_hook) hooks;
};

struct hp_upgrade {
	pthread_mutex_t lock; /* of what follows it up to fds */

	enum hp_upgrade_state state;
	bool ready, told;
	struct hp_child child;	   /* under way while its pid is set */
	bool child_waits;	   /* a thread in hp_upgrade_now() waits for it, not the loop */
	int successor;		   /* the socket to the new process; never closed: its end is ours */

	bool has_parent;
	int parent; /* the socket, -1 when its end was seen */
	int parent_result;

	struct hp_fds fds;
	struct hp_work work;

	/* What does not change. */
	struct hp_upgrade_options options; /* pid_file is absolute, ours, or NULL */
	char *cwd, *notify, **argv, *argv_text;
	sigset_t mask; /* for the new process */
	int events, exit;
	int signals; /* set once, under the lock; -1: none */
};

/* hp_upgrade_open() in an environment that may be played, and without the claim on the process. */
int hp_upgrade_open_in(struct hp_upgrade **ret, const struct hp_upgrade_options *o,
		       const struct hp_environ *env, struct hp_err *err);
void hp_upgrade_free_in(struct hp_upgrade *u);

/* The pid file says that it is this process. */
int hp_upgrade_write_pid(const struct hp_upgrade *u, struct hp_err *err);

/* Looks, under the lock, whether the parent is there still. */
bool hp_upgrade_parent_lives(struct hp_upgrade *u);

int hp_work_init(struct hp_work *w);
void hp_work_free(struct hp_work *w);

#endif
