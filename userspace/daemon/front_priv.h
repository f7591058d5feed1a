/* SPDX-License-Identifier: MIT */
/* daemon/front_priv.h – the two directions of front's socket.  Internal to front*.c. */
#ifndef HP_DAEMON_FRONT_PRIV_H
#define HP_DAEMON_FRONT_PRIV_H

#include "daemon/front.h"

/* Queues a packet, @n at most HP_TELL_BYTES, and beside it a copy of @fd (-1: none). */
void hp_front_queue(struct hp_front *f, const struct hp_tell_head *head, const void *bytes, size_t n,
		    int fd);
/* Sends what the socket takes now; the rest goes when there is room. */
void hp_front_flush(struct hp_front *f);
/* What is queued is not told any more. */
void hp_front_drop_queue(struct hp_front *f);

/* 1: a packet was taken; 0: there is none; negative: it said what it may not. */
int hp_front_hear(struct hp_front *f, struct hp_err *err);

/* Callbacks of the operations "room" and "heard". */
void hp_front_room_done(struct hp_ring_op *op, int res, const void *data);
void hp_front_heard_done(struct hp_ring_op *op, int res, const void *data);

/* The process's life (front.c): */
void hp_front_kill(struct hp_front *f, const char *why);
/* To be called when an operation on its socket has ended: it may have been the last one. */
void hp_front_maybe_buried(struct hp_front *f);

#endif
