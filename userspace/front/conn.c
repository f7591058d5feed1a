/* SPDX-License-Identifier: MIT */
/*
 * One recv is always outstanding, so that a client that leaves is noticed while its job runs.  What
 * it sends meanwhile is kept up to a limit.  A connection is freed only when both its operations
 * have completed: shutdown(2) makes them.
 */
#include "front/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "front/frontend.h"

/* Pipelined bytes that are kept while a request is handled. */
#define AHEAD_MAX (64 * 1024)
/* A connection that has not begun a request may be silent so many times longer than one that has. */
#define SILENCE 6

static void pump(struct hp_conn *c);

static struct hp_conn *conn_of_recv(struct hp_ring_op *op)
{
	return (struct hp_conn *)((char *)op - offsetof(struct hp_conn, recv));
}

static struct hp_conn *conn_of_send(struct hp_ring_op *op)
{
	return (struct hp_conn *)((char *)op - offsetof(struct hp_conn, send));
}

static void conn_free(struct hp_conn *c)
{
	close(c->fd);
	hp_http_free(&c->http);
	hp_buf_free(&c->in);
	hp_buf_free(&c->out);
	hp_buf_free(&c->wire);
	hp_buf_free(&c->told);
	free(c->file);
	if (c->tongue)
		c->tongue->free(c->tongue_state);
	c->entrance->n_conns--;
	hp_frontend_count(c->entrance);
	free(c);
}

void hp_conn_sweep(struct hp_frontend *f)
{
	struct hp_conn *c, *next;

	for (c = TAILQ_FIRST(&f->dying); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->recv.armed || c->send.armed)
			continue;
		TAILQ_REMOVE(&f->dying, c, link);
		conn_free(c);
	}
}

void hp_conn_close(struct hp_conn *c)
{
	const struct hp_record gone = {.ask = HP_ASK_GONE, .conn = c->id};
	struct hp_frontend *f = c->f;

	if (c->closing)
		return;
	c->closing = true;
	TAILQ_REMOVE(&f->conns, c, link);
	TAILQ_INSERT_TAIL(&f->dying, c, link);
	hp_timer_clear(f->ring, &c->timer);
	if (c->asked)
		hp_monitor_say(f, &gone);
	c->asked = false;
	(void)shutdown(c->fd, SHUT_RDWR); /* fails only when the peer was faster */
	hp_ring_cancel(f->ring, &c->recv);
}

/* A part of a request is here. */
static bool begun(const struct hp_conn *c)
{
	return c->tongue ? c->in.n > 0 : c->http.begun;
}

/* How long may nothing happen now? */
static void set_timer(struct hp_conn *c)
{
	uint64_t span = c->f->client_timeout_ns;

	if (c->closing)
		return;
	/* A job has its own time-outs, and other tongues are spoken now and then for hours. */
	if (c->wire.n == 0 && (c->busy || (c->tongue && !begun(c)))) {
		hp_timer_clear(c->f->ring, &c->timer);
		return;
	}
	if (c->wire.n == 0 && !begun(c))
		span *= SILENCE;
	hp_timer_set(c->f->ring, &c->timer, hp_now_ns() + span);
}

void hp_conn_flush(struct hp_conn *c)
{
	struct hp_buf empty = c->wire;

	if (c->closing || c->wire.n || !c->out.n)
		return;
	c->wire = c->out;
	c->out = empty;
	c->wire_sent = 0;
	c->wire_since_ns = hp_now_ns();
	hp_ring_send(c->f->ring, &c->send, c->fd, c->wire.v, c->wire.n);
	set_timer(c);
}

bool hp_conn_keeps(const struct hp_conn *c)
{
	return (c->tongue || c->http.keep_alive) && !c->last && (!c->eof || c->in.n) &&
	       !c->f->stopping;
}

void hp_conn_switch(struct hp_conn *c, const struct hp_tongue *tongue, void *state)
{
	c->tongue = tongue;
	c->tongue_state = state;
}

void hp_conn_answered(struct hp_conn *c)
{
	c->last = !hp_conn_keeps(c);
	c->busy = c->stream = false;
	c->asked = false;
	hp_http_next(&c->http);
	hp_conn_flush(c);
	set_timer(c);
	pump(c);
}

static void send_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_conn *c = conn_of_send(op);

	if (res < 0)
		hp_conn_close(c);
	if (c->closing)
		return;
	c->wire_sent += (size_t)res;
	if (c->wire_sent < c->wire.n) {
		hp_ring_send(c->f->ring, &c->send, c->fd, c->wire.v + c->wire_sent,
			     c->wire.n - c->wire_sent);
		set_timer(c);
		return;
	}
	c->wire.n = 0;
	if (c->wire.room > HP_CONN_BACKLOG)
		hp_buf_free(&c->wire); /* it may come but once */
	hp_conn_flush(c);
	set_timer(c);
	if (c->last && !c->busy && !c->wire.n)
		hp_conn_close(c);
	pump(c);
}

void hp_conn_no_memory(struct hp_conn *c)
{
	hp_log(HP_LOG_ERROR, "no memory for an answer to client %llu",
	       (unsigned long long)c->id);
	hp_conn_close(c);
}

static void incomplete(struct hp_conn *c, bool begun_before)
{
	/* Counted from the first byte, or a byte now and then would do. */
	if (c->http.begun && !begun_before)
		set_timer(c);
	if (c->http.expects_continue) {
		c->http.expects_continue = false;
		if (hp_buf_printf(&c->out, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
			hp_conn_no_memory(c);
		hp_conn_flush(c);
	}
}

static void take_http(struct hp_conn *c)
{
	bool begun_before = c->http.begun;

	hp_buf_drop(&c->in, hp_http_feed(&c->http, c->in.v, c->in.n));
	if (c->http.state == HP_HTTP_BAD) {
		c->busy = true;
		c->http.keep_alive = false;
		c->face->refuse(c, c->http.status, c->http.text);
	} else if (c->http.state == HP_HTTP_MORE) {
		incomplete(c, begun_before);
	} else {
		c->busy = true;
		set_timer(c);
		c->face->handle(c);
	}
}

/* False: nothing is complete. */
static bool take_tongue(struct hp_conn *c)
{
	size_t used = c->tongue->take(c, c->in.v, c->in.n);

	hp_buf_drop(&c->in, used);
	return used > 0;
}

/* Requests one after the other, as long as each is answered at once and the answers are taken. */
static void pump(struct hp_conn *c)
{
	bool more = true;

	if (c->pumping)
		return;
	c->pumping = true;
	while (more && c->in.n && !c->busy && !c->last && !c->closing &&
	       c->out.n <= HP_CONN_BACKLOG) {
		if (c->tongue)
			more = take_tongue(c);
		else
			take_http(c);
	}
	c->pumping = false;
	/* It sends no more, and all that it has sent is answered. */
	if (c->eof && !c->busy && !c->closing && (!c->in.n || c->tongue)) {
		c->last = true;
		if (!c->wire.n && !c->out.n)
			hp_conn_close(c);
	}
}

static void take(struct hp_conn *c, const void *data, size_t n)
{
	size_t max = AHEAD_MAX + (c->tongue ? c->tongue->max : 0);
	bool begun_before = begun(c);

	if (c->last)
		return;
	if (c->in.n + n > max || hp_buf_add(&c->in, data, n) < 0) {
		hp_log(HP_LOG_WARNING, "client %llu sends without waiting for answers: cut off",
		       (unsigned long long)c->id);
		hp_conn_close(c);
		return;
	}
	pump(c);
	if (c->tongue && begun(c) && !begun_before)
		set_timer(c);
}

/* A half-closed client still gets the answer it waits for; a stream has no end, so its client's end
 * is the end. */
static void ended(struct hp_conn *c)
{
	struct pollfd p = {.fd = c->fd};
	bool left = poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);

	c->eof = true;
	c->last = c->last || (!c->busy && !c->in.n);
	if (left || c->stream || (c->last && !c->wire.n && !c->out.n))
		hp_conn_close(c);
}

static void recv_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_conn *c = conn_of_recv(op);

	if (c->closing)
		return;
	if (res > 0)
		take(c, data, (size_t)res);
	if (res == 0)
		ended(c);
	if (res < 0 && res != -ENOBUFS)
		hp_conn_close(c);
	if (!op->armed && !c->closing && !c->eof)
		hp_ring_recv(c->f->ring, op, c->fd);
}

static void timed_out(struct hp_timer *t)
{
	struct hp_conn *c = (struct hp_conn *)((char *)t - offsetof(struct hp_conn, timer));

	if (c->wire.n == 0 && !c->tongue && c->http.begun && !c->last) {
		c->busy = true;
		c->http.keep_alive = false;
		c->face->refuse(c, 408, "the request was not complete in time");
		return;
	}
	hp_debug("client %llu was silent too long: cut off", (unsigned long long)c->id);
	hp_conn_close(c);
}

void hp_conn_finish(struct hp_conn *c)
{
	if (!c->busy && !c->wire.n)
		hp_conn_close(c);
	c->last = true;
}

static size_t owed(const struct hp_conn *c)
{
	return c->told.n + c->out.n + (c->wire.n ? c->wire.n - c->wire_sent : 0);
}

/* What clients do not take is front's memory, and a job is long done when its answer is taken: who has
 * been at his for longest goes. */
static void bound_answers(struct hp_frontend *f)
{
	uint64_t all;

	do {
		struct hp_conn *c, *first = NULL;

		all = 0;
		TAILQ_FOREACH(c, &f->conns, link) {
			all += owed(c);
			if (c->wire.n && (!first || c->wire_since_ns < first->wire_since_ns))
				first = c;
		}
		if (all > f->answers_max && !first)
			return; /* all of it is still on its way from the monitor */
		if (all > f->answers_max) {
			hp_log(HP_LOG_WARNING, "client %llu leaves %zu bytes of its answer: cut off",
			       (unsigned long long)first->id, owed(first));
			hp_conn_close(first);
		}
	} while (all > f->answers_max);
}

void hp_conn_told(struct hp_conn *c, const struct hp_tell_head *head, const char *bytes, size_t n)
{
	struct hp_buf whole;

	if (hp_buf_add(&c->told, bytes, n) < 0 ||
	    (!(head->flags & HP_TELL_MORE) && hp_buf_add(&c->told, "", 1) < 0)) {
		hp_conn_no_memory(c);
		return;
	}
	if (head->flags & HP_TELL_MORE)
		return;
	/* In here the next request may be taken, and answered. */
	whole = c->told;
	c->told = (struct hp_buf){0};
	if (head->flags & HP_TELL_CLOSE)
		c->http.keep_alive = false;
	if (head->tell == HP_TELL_REPLY || head->tell == HP_TELL_LAST)
		c->asked = false;
	c->face->answer(c, head, whole.v, whole.n - 1);
	if (whole.n > HP_CONN_BACKLOG)
		bound_answers(c->f);
	hp_buf_free(&whole);
}

void hp_conn_open(struct hp_entrance *e, int fd, const struct hp_face *face)
{
	struct hp_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->f = e->f;
	c->id = ++e->f->last_conn;
	c->fd = fd;
	c->face = face;
	c->entrance = e;
	e->n_conns++;
	c->recv.done = recv_done;
	c->send.done = send_done;
	c->timer.fire = timed_out;
	hp_http_init(&c->http);
	TAILQ_INSERT_TAIL(&c->f->conns, c, link);
	hp_ring_recv(c->f->ring, &c->recv, fd);
	set_timer(c);
}
