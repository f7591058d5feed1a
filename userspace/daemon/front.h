/* SPDX-License-Identifier: MIT */
/*
 * daemon/front.h – the front process, as the monitor has it.
 *
 * It is started from a program of its own, so that it has nothing of the monitor's memory, and gets the
 * listening sockets.  Nothing that it says is believed (ipc/intake.h); one that says what it may not is
 * killed.  One that ends is started again: its clients see their connections end, and what they had begun
 * goes on.
 */
#ifndef HP_DAEMON_FRONT_H
#define HP_DAEMON_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "ipc/intake.h"
#include "ipc/ring.h"

struct hp_daemon;
struct hp_err;
struct hp_serve;

struct hp_front {
	struct hp_daemon *d;
	pid_t pid; /* 0: none */
	int pidfd, sock;
	struct hp_ring_op heard, room, exited;
	struct hp_timer again;
	uint64_t since_ns;
	struct hp_intake intake;
	int client_fd; /* of the request whose items are awaited */
	TAILQ_HEAD(, hp_packet) queue; /* not taken by the socket yet */
	size_t queued;
	bool listens, ended;
	bool distrusted; /* it is being killed: nothing more that it says is taken */
	char last_words[256];
};

/* The process is there, but has no clients yet. */
int hp_front_start(struct hp_front *f, struct hp_daemon *d, struct hp_err *err);
/* The ring is open: hears what it says. */
void hp_front_attend(struct hp_front *f);
/* It may take clients from now on. */
void hp_front_begin(struct hp_front *f);
/* … of @l too, or no longer. */
void hp_front_listen(struct hp_front *f, const struct hp_serve *l);
void hp_front_unlisten(struct hp_front *f, const struct hp_serve *l);
/* It answers what was asked, and takes nobody any more. */
void hp_front_stop(struct hp_front *f);
/* At the end. */
void hp_front_free(struct hp_front *f);
/* In a job: closes what it holds. */
void hp_front_forget(struct hp_front *f);

/* A message of any length; for one that does not listen to us any more there is nothing to be done. */
void hp_front_tell(struct hp_front *f, const struct hp_tell_head *head, const void *bytes, size_t n);

#endif
