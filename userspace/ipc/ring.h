/* SPDX-License-Identifier: MIT */
/*
 * ipc/ring.h – the io_uring on which a process of hpd turns, and the timers on it.
 *
 * An operation is a struct hp_ring_op embedded in whatever it works for.  While op->armed is true
 * the kernel may still complete it: its owner must stay in memory until the last completion, which
 * comes with op->armed already false.
 */
#ifndef HP_IPC_RING_H
#define HP_IPC_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct hp_err;
struct hp_ring;
struct hp_ring_op;

/* @res: as the kernel gives it; @data: the bytes of a recv, valid until it returns. */
typedef void (*hp_ring_done)(struct hp_ring_op *op, int res, const void *data);

struct hp_ring_op {
	hp_ring_done done;
	bool armed;
};

/* What a ring takes; it refuses everything else.  Of both: recv, poll, cancel. */
enum hp_ring_use {
	HP_RING_MONITOR, /* read */
	HP_RING_FRONT,	 /* accept, send */
	HP_RING_USES,
};

int hp_ring_open(struct hp_ring **ret, enum hp_ring_use use, struct hp_err *err);
void hp_ring_free(struct hp_ring *r);

/* In a fork: gives up the ring, of which nothing was inherited but the descriptor. */
void hp_ring_forget(struct hp_ring *r);

/* Multishot: @res is a new descriptor (close-on-exec), until an error ends it. */
void hp_ring_accept(struct hp_ring *r, struct hp_ring_op *op, int fd);
/* Multishot with provided buffers: until @res is 0 or an error. */
void hp_ring_recv(struct hp_ring *r, struct hp_ring_op *op, int fd);
/* Once. @buf must stay until the completion. */
void hp_ring_send(struct hp_ring *r, struct hp_ring_op *op, int fd, const void *buf, size_t n);
void hp_ring_read(struct hp_ring *r, struct hp_ring_op *op, int fd, void *buf, size_t n);
/* Once: POLLIN; @res: what is there. */
void hp_ring_poll(struct hp_ring *r, struct hp_ring_op *op, int fd);
/* Once: POLLOUT. */
void hp_ring_poll_out(struct hp_ring *r, struct hp_ring_op *op, int fd);
/* The completion of @op follows, with -ECANCELED if nothing else was first. */
void hp_ring_cancel(struct hp_ring *r, struct hp_ring_op *op);

/* A point in time, hp_now_ns(); zeroed at first. */
struct hp_timer {
	TAILQ_ENTRY(hp_timer) link;
	uint64_t at_ns; /* 0: not set */
	void (*fire)(struct hp_timer *t);
};
void hp_timer_set(struct hp_ring *r, struct hp_timer *t, uint64_t at_ns);
void hp_timer_clear(struct hp_ring *r, struct hp_timer *t);

/* Submits, waits for one completion or timer, and calls what is done. */
int hp_ring_turn(struct hp_ring *r, struct hp_err *err);

/* What the kernel offers, for `hpctl status`: "io_uring nodrop ext-arg fast-poll". */
const char *hp_ring_features(const struct hp_ring *r);

#endif
