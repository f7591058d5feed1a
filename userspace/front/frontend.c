/* SPDX-License-Identifier: MIT */
#include "front/frontend.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"
#include "front/api.h"
#include "front/conn.h"
#include "front/wire.h"
#include "hp/err.h"

#define ENTRANCE_MAX 64

static size_t tcp_conns(const struct hp_frontend *f)
{
	const struct hp_entrance *e;
	size_t n = 0;

	TAILQ_FOREACH(e, &f->entrances, link)
	n += e->id ? e->n_conns : 0;
	return n;
}

static bool is_full(const struct hp_entrance *e)
{
	if (!e->id)
		return e->n_conns >= HP_CONNS_CONTROL;
	return e->n_conns >= ENTRANCE_MAX || tcp_conns(e->f) >= HP_CONNS_TCP;
}

void hp_frontend_count(struct hp_entrance *e)
{
	const struct hp_record rec = {
		.ask = HP_ASK_COUNT, .listener = e->id, .n = (uint32_t)e->n_conns};

	hp_monitor_say(e->f, &rec);
}

static void taken(struct hp_port *p, int fd)
{
	struct hp_entrance *e =
		(struct hp_entrance *)((char *)p - offsetof(struct hp_entrance, port));

	if (e->f->stopping || is_full(e)) {
		close(fd);
		return;
	}
	hp_conn_open(e, fd, e->id ? &hp_wire_face : &hp_api_face);
	hp_frontend_count(e);
}

void hp_frontend_listen(struct hp_frontend *f, uint32_t id, int fd)
{
	struct hp_entrance *e = fd >= 0 ? calloc(1, sizeof(*e)) : NULL;

	if (!e) {
		hp_log(HP_LOG_ERROR, "no memory, or no socket, to listen");
		if (fd >= 0)
			close(fd);
		return;
	}
	*e = (struct hp_entrance){
		.f = f, .id = id, .port = {.ring = f->ring, .fd = fd, .taken = taken}};
	TAILQ_INSERT_TAIL(&f->entrances, e, link);
	hp_port_begin(&e->port);
}

static void end_entrance(struct hp_entrance *e)
{
	struct hp_conn *c, *next;

	if (e->closing)
		return;
	e->closing = true;
	hp_port_end(&e->port);
	for (c = TAILQ_FIRST(&e->f->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->entrance == e)
			hp_conn_finish(c);
	}
}

void hp_frontend_unlisten(struct hp_frontend *f, uint32_t id)
{
	struct hp_entrance *e;

	TAILQ_FOREACH(e, &f->entrances, link)
	if (e->id == id)
		end_entrance(e);
}

void hp_frontend_stop(struct hp_frontend *f)
{
	struct hp_entrance *e;

	f->stopping = true;
	TAILQ_FOREACH(e, &f->entrances, link)
	end_entrance(e);
}

static void sweep(struct hp_frontend *f)
{
	struct hp_entrance *e, *next;

	for (e = TAILQ_FIRST(&f->entrances); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (!e->closing || e->n_conns || e->port.accept.armed)
			continue;
		TAILQ_REMOVE(&f->entrances, e, link);
		close(e->port.fd);
		free(e);
	}
}

struct hp_conn *hp_frontend_find(struct hp_frontend *f, uint64_t conn)
{
	struct hp_conn *c;

	TAILQ_FOREACH(c, &f->conns, link)
	if (c->id == conn)
		return c->asked ? c : NULL;
	return NULL;
}

/* --- its life ------------------------------------------------------------------------------------ */

static void heard_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_frontend *f =
		(struct hp_frontend *)((char *)op - offsetof(struct hp_frontend, heard));
	int k = 1;

	while (k == 1)
		k = hp_monitor_hear(f);
	if (k < 0)
		f->ended = true;
	else
		hp_ring_poll(f->ring, op, f->sock);
}

/* What libraries would open later, when nothing can be opened any more. */
static void open_early(void)
{
	json_object_seed(0); /* /dev/urandom */
	tzset();             /* /etc/localtime */
}

static int confine(struct hp_frontend *f, struct hp_err *err)
{
	const struct hp_record hello = {.ask = HP_ASK_HELLO};
	int k = hp_confine_rights(HP_ROLE_FRONT, err);

	if (k == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		k = hp_err_sys(err, errno, "a signal for the monitor's death");
	if (k == 0)
		k = hp_confine_calls(HP_ROLE_FRONT, err);
	if (k == 0)
		hp_monitor_say(f, &hello);
	return k;
}

int hp_frontend_run(int sock, struct hp_err *err)
{
	struct hp_frontend f = {.sock = sock, .heard.done = heard_done};
	int k;

	TAILQ_INIT(&f.conns);
	TAILQ_INIT(&f.dying);
	TAILQ_INIT(&f.entrances);
	hp_monitor_log(&f);
	open_early();
	k = hp_ring_open(&f.ring, HP_RING_FRONT, err);
	if (k == 0)
		k = confine(&f, err);
	if (k == 0)
		hp_ring_poll(f.ring, &f.heard, f.sock);
	while (k == 0 && !f.ended) {
		k = hp_ring_turn(f.ring, err);
		hp_conn_sweep(&f);
		sweep(&f);
	}
	if (k < 0)
		hp_log(HP_LOG_ERROR, "%s", err->text);
	return k;
}
