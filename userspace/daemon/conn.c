/* SPDX-License-Identifier: MIT */
/*
 * One recv is always outstanding, so that a client that leaves is noticed while its job runs.  What
 * it sends meanwhile is kept up to a limit.  A connection is freed only when both its operations
 * have completed: shutdown(2) makes them.
 */
#include "daemon/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/api.h"
#include "daemon/daemon.h"
#include "daemon/json_out.h"
#include "hp/err.h"

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
	free(c);
}

void hp_conn_sweep(struct hp_daemon *d)
{
	struct hp_conn *c, *next;
	size_t before = d->n_conns;

	for (c = TAILQ_FIRST(&d->dying); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->recv.armed || c->send.armed)
			continue;
		TAILQ_REMOVE(&d->dying, c, link);
		d->n_conns--;
		conn_free(c);
	}
	if (d->n_conns != before)
		hp_daemon_settle(d);
}

void hp_conn_free_all(struct hp_daemon *d)
{
	struct hp_conn *c;

	while ((c = TAILQ_FIRST(&d->conns)) || (c = TAILQ_FIRST(&d->dying))) {
		TAILQ_REMOVE(c->closing ? &d->dying : &d->conns, c, link);
		conn_free(c);
	}
}

void hp_conn_close(struct hp_conn *c)
{
	struct hp_daemon *d = c->d;

	if (c->closing)
		return;
	c->closing = true;
	TAILQ_REMOVE(&d->conns, c, link);
	TAILQ_INSERT_TAIL(&d->dying, c, link);
	hp_timer_clear(d->ring, &c->timer);
	if (c->gone)
		c->gone(c);
	c->gone = NULL;
	(void)shutdown(c->fd, SHUT_RDWR); /* fails only when the peer was faster */
	hp_ring_cancel(d->ring, &c->recv);
}

/* How long may nothing happen now? */
static void set_timer(struct hp_conn *c)
{
	uint64_t span = c->d->opt.client_timeout_ns;

	if (c->closing)
		return;
	if (c->wire.n == 0 && c->busy) {
		hp_timer_clear(c->d->ring, &c->timer); /* the job has its own time-outs */
		return;
	}
	if (c->wire.n == 0 && !c->http.begun)
		span *= SILENCE;
	hp_timer_set(c->d->ring, &c->timer, hp_now_ns() + span);
}

static void flush(struct hp_conn *c)
{
	struct hp_buf empty = c->wire;

	if (c->closing || c->wire.n || !c->out.n)
		return;
	c->wire = c->out;
	c->out = empty;
	c->wire_sent = 0;
	hp_ring_send(c->d->ring, &c->send, c->fd, c->wire.v, c->wire.n);
	set_timer(c);
}

/* The answer is in c->out whole: what comes next? */
static void answered(struct hp_conn *c)
{
	c->busy = c->stream = false;
	c->gone = NULL;
	c->owner = NULL;
	if (!c->http.keep_alive || c->eof || c->d->stopping)
		c->last = true;
	hp_http_next(&c->http);
	flush(c);
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
		hp_ring_send(c->d->ring, &c->send, c->fd, c->wire.v + c->wire_sent,
			     c->wire.n - c->wire_sent);
		set_timer(c);
		return;
	}
	c->wire.n = 0;
	flush(c);
	set_timer(c);
	if (c->last && !c->busy && !c->wire.n)
		hp_conn_close(c);
	pump(c);
}

static void no_memory(struct hp_conn *c)
{
	hp_log(HP_LOG_ERROR, "no memory for an answer to process %d", c->peer.pid);
	hp_conn_close(c);
}

void hp_conn_reply(struct hp_conn *c, int status, json_t *doc)
{
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;
	bool keep = c->http.keep_alive && !c->eof && !c->d->stopping;

	json_decref(doc);
	if (!text || hp_http_head(&c->out, status, HP_TYPE_JSON, (long long)n + 1, keep,
				  status == 405 ? hp_api_allowed(c->http.path) : NULL) < 0 ||
	    hp_buf_add(&c->out, text, n) < 0 || hp_buf_add(&c->out, "\n", 1) < 0)
		no_memory(c);
	free(text);
	answered(c);
}

void hp_conn_reply_error(struct hp_conn *c, int code, const char *text)
{
	hp_conn_reply(c, hp_api_http_status(code), hp_json_error(code, text));
}

void hp_conn_stream_begin(struct hp_conn *c)
{
	c->stream = true;
	if (hp_http_head(&c->out, 200, HP_TYPE_NDJSON, -1, c->http.keep_alive, NULL) < 0)
		no_memory(c);
	flush(c);
}

static int stream_text(struct hp_conn *c, const json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	struct hp_buf line = {text, text ? strlen(text) : 0, 0};
	int k;

	if (!text)
		return -ENOMEM;
	/* The line's newline takes the place of the string's NUL. */
	text[line.n++] = '\n';
	k = hp_http_chunk(&c->out, line.v, line.n);
	free(text);
	return k;
}

/* What was lost so far, and then @doc. */
static void stream_line(struct hp_conn *c, const json_t *doc)
{
	json_t *lost;
	int k = 0;

	if (c->lost) {
		lost = json_pack("{s:i,s:s,s:i}", "schema", 1, "event", "lost", "lines",
				 (int)c->lost);
		k = lost ? stream_text(c, lost) : -ENOMEM;
		json_decref(lost);
		c->lost = 0;
	}
	if (k == 0)
		k = stream_text(c, doc);
	if (k < 0)
		no_memory(c);
}

void hp_conn_stream_line(struct hp_conn *c, const json_t *doc)
{
	if (c->closing)
		return;
	if (c->out.n > HP_CONN_BACKLOG) {
		c->lost++;
		return;
	}
	stream_line(c, doc);
	flush(c);
}

void hp_conn_stream_answer(struct hp_conn *c, const json_t *doc)
{
	if (!c->closing)
		stream_line(c, doc);
	if (!c->closing)
		hp_conn_stream_end(c);
}

void hp_conn_stream_end(struct hp_conn *c)
{
	if (hp_http_chunk(&c->out, NULL, 0) < 0)
		no_memory(c);
	answered(c);
}

/* What cannot be parsed is answered, and then there is no telling where a next request begins. */
static void refuse(struct hp_conn *c, int status, const char *text)
{
	c->busy = true;
	c->http.keep_alive = false;
	hp_conn_reply(c, status, hp_json_error(-HP_E_BAD_REQUEST, text));
}

static void incomplete(struct hp_conn *c, bool begun_before)
{
	/* Counted from the first byte, or a byte now and then would do. */
	if (c->http.begun && !begun_before)
		set_timer(c);
	if (c->http.expects_continue) {
		c->http.expects_continue = false;
		if (hp_buf_printf(&c->out, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
			no_memory(c);
		flush(c);
	}
}

/* Requests one after the other, as long as each is answered at once and the answers are taken. */
static void pump(struct hp_conn *c)
{
	if (c->pumping)
		return;
	c->pumping = true;
	while (c->in.n && !c->busy && !c->last && !c->closing && c->out.n <= HP_CONN_BACKLOG) {
		bool begun = c->http.begun;

		hp_buf_drop(&c->in, hp_http_feed(&c->http, c->in.v, c->in.n));
		if (c->http.state == HP_HTTP_BAD) {
			refuse(c, c->http.status, c->http.text);
		} else if (c->http.state == HP_HTTP_MORE) {
			incomplete(c, begun);
		} else {
			c->busy = true;
			set_timer(c);
			hp_api_handle(c);
		}
	}
	c->pumping = false;
}

static void take(struct hp_conn *c, const void *data, size_t n)
{
	if (c->last)
		return;
	if (c->in.n + n > AHEAD_MAX || hp_buf_add(&c->in, data, n) < 0) {
		hp_log(HP_LOG_WARNING, "process %d sends without waiting for answers: cut off",
		       c->peer.pid);
		hp_conn_close(c);
		return;
	}
	pump(c);
}

/* A half-closed client still gets the answer it waits for; a stream has no end, so its client's end
 * is the end. */
static void ended(struct hp_conn *c)
{
	struct pollfd p = {.fd = c->fd};
	bool left = poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);

	c->eof = true;
	c->last = c->last || !c->busy;
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
		hp_ring_recv(c->d->ring, op, c->fd);
}

static void timed_out(struct hp_timer *t)
{
	struct hp_conn *c = (struct hp_conn *)((char *)t - offsetof(struct hp_conn, timer));

	if (c->wire.n == 0 && c->http.begun && !c->last) {
		refuse(c, 408, "the request was not complete in time");
		return;
	}
	hp_debug("process %d was silent too long: cut off", c->peer.pid);
	hp_conn_close(c);
}

void hp_conn_open(struct hp_daemon *d, int fd)
{
	struct hp_conn *c = calloc(1, sizeof(*c));
	struct hp_err err;

	if (!c || hp_peer_read(fd, &c->peer, &err) < 0) {
		close(fd);
		free(c);
		return;
	}
	c->d = d;
	c->fd = fd;
	c->recv.done = recv_done;
	c->send.done = send_done;
	c->timer.fire = timed_out;
	hp_http_init(&c->http);
	TAILQ_INSERT_TAIL(&d->conns, c, link);
	d->n_conns++;
	hp_ring_recv(d->ring, &c->recv, fd);
	set_timer(c);
}
