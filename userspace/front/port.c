/* SPDX-License-Identifier: MIT */
#include "front/port.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static void accept_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_port *p = (struct hp_port *)((char *)op - offsetof(struct hp_port, accept));

	if (res >= 0 && p->ended)
		close(res);
	else if (res >= 0)
		p->taken(p, res);
	if (op->armed || p->ended)
		return;
	if (res >= 0) {
		hp_ring_accept(p->ring, op, p->fd);
		return;
	}
	hp_log(HP_LOG_WARNING, "accept: %s", strerror(-res));
	hp_timer_set(p->ring, &p->again, hp_now_ns() + HP_S);
}

static void accept_again(struct hp_timer *t)
{
	struct hp_port *p = (struct hp_port *)((char *)t - offsetof(struct hp_port, again));

	hp_ring_accept(p->ring, &p->accept, p->fd);
}

void hp_port_begin(struct hp_port *p)
{
	p->accept.done = accept_done;
	p->again.fire = accept_again;
	hp_ring_accept(p->ring, &p->accept, p->fd);
}

void hp_port_end(struct hp_port *p)
{
	p->ended = true;
	hp_ring_cancel(p->ring, &p->accept);
	hp_timer_clear(p->ring, &p->again);
}
