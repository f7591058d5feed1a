/* SPDX-License-Identifier: MIT */
/* front/port.h – a listening socket on the ring. */
#ifndef HP_FRONT_PORT_H
#define HP_FRONT_PORT_H

#include <stdbool.h>

#include "ipc/ring.h"

struct hp_port {
	struct hp_ring *ring;
	int fd;
	struct hp_ring_op accept;
	struct hp_timer again; /* after "too many open files" */
	/* Somebody has connected; takes @fd. */
	void (*taken)(struct hp_port *p, int fd);
	bool ended;
};

/* @p holds ring, fd and taken, and stays where it is. */
void hp_port_begin(struct hp_port *p);
/* Nobody is taken any more.  While p->accept.armed the kernel still refers to it. */
void hp_port_end(struct hp_port *p);

#endif
