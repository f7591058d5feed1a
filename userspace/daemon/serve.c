/* SPDX-License-Identifier: MIT */
/*
 * Who loads code into a process acts with that process's rights.  Loopback alone keeps nobody out
 * who is on the machine: so the user at the other end must be root or the process's owner, and a
 * request that a page made in that user's browser (it has an Origin) is refused.
 */
#include "daemon/serve.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/json_out.h"
#include "daemon/wire.h"
#include "hp/err.h"

_Static_assert(HP_SERVE_TOKEN_SUM == crypto_hash_sha256_BYTES, "the token's sum");

/* Strangers must not take the control socket's connections away. */
#define LISTENERS_MAX 64
#define CONNS_MAX     64 /* of one listener */
#define TCP_CONNS_MAX 512

static void token_sum(const char *token, unsigned char sum[HP_SERVE_TOKEN_SUM])
{
	(void)crypto_hash_sha256(sum, (const unsigned char *)token, strlen(token)); /* always 0 */
}

static size_t tcp_conns(const struct hp_daemon *d)
{
	const struct hp_listener *l;
	size_t n = 0;

	TAILQ_FOREACH(l, &d->listeners, link)
		n += l->n_conns;
	return n;
}

static void taken(struct hp_port *p, int fd)
{
	struct hp_listener *l = (struct hp_listener *)((char *)p - offsetof(struct hp_listener, port));
	struct hp_peer peer;
	struct hp_err err;

	if (l->d->stopping || l->n_conns >= CONNS_MAX || tcp_conns(l->d) >= TCP_CONNS_MAX ||
	    hp_peer_read_tcp(fd, &peer, &err) < 0)
		close(fd);
	else
		hp_conn_open(l->d, fd, &hp_wire_face, &peer, l);
}

/* It takes nobody any more; what is being answered is. */
static void end(struct hp_listener *l, const char *why)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_SERVED, .pid = l->pid};
	struct hp_conn *c, *next;

	if (l->closing)
		return;
	l->closing = true;
	hp_log_about(HP_LOG_INFO, &about, "process %d is served on %s no more: %s", l->pid, l->addr,
		     why);
	hp_port_end(&l->port);
	hp_ring_cancel(l->d->ring, &l->exited);
	for (c = TAILQ_FIRST(&l->d->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->from == l)
			hp_conn_finish(c);
	}
}

static void process_exited(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_listener *l = (struct hp_listener *)((char *)op -
						       offsetof(struct hp_listener, exited));

	if (res >= 0)
		end(l, "it has exited");
}

static void listener_free(struct hp_listener *l)
{
	TAILQ_REMOVE(&l->d->listeners, l, link);
	hp_close(&l->port.fd);
	hp_close(&l->pidfd);
	free(l);
}

void hp_serve_sweep(struct hp_daemon *d)
{
	struct hp_listener *l, *next;
	bool freed = false;

	for (l = TAILQ_FIRST(&d->listeners); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!l->closing || l->n_conns || l->port.accept.armed || l->exited.armed)
			continue;
		listener_free(l);
		freed = true;
	}
	if (freed)
		hp_daemon_settle(d);
}

void hp_serve_free_all(struct hp_daemon *d)
{
	struct hp_listener *l;

	while ((l = TAILQ_FIRST(&d->listeners)))
		listener_free(l);
}

void hp_serve_end_all(struct hp_daemon *d)
{
	struct hp_listener *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		end(l, "hpd ends");
}

static int check(struct hp_daemon *d, const struct hp_serve_request *req, bool loopback,
		 struct hp_err *err)
{
	const struct hp_listener *l;
	size_t n = 0;

	TAILQ_FOREACH(l, &d->listeners, link)
		n++;
	if (n >= LISTENERS_MAX)
		return hp_err_set(err, -HP_E_FAILED, "there are %d listeners already",
				  LISTENERS_MAX);
	if (!loopback && !req->allow_remote)
		return hp_err_set(err, -HP_E_DENIED,
				  "%s can be reached from other machines: whoever reaches it may run "
				  "code in process %d (--allow-remote and a token permit it)",
				  req->addr, req->pid);
	if (!loopback && !req->token)
		return hp_err_set(err, -HP_E_DENIED,
				  "%s can be reached from other machines: it needs a token "
				  "(--token-file)",
				  req->addr);
	if (req->token && (strlen(req->token) < HP_SERVE_TOKEN_MIN ||
			   strlen(req->token) > HP_HTTP_BEARER_MAX))
		return hp_err_set(err, -HP_E_BAD_REQUEST, "a token has %d to %d characters",
				  HP_SERVE_TOKEN_MIN, HP_HTTP_BEARER_MAX);
	return 0;
}

int hp_serve_begin(struct hp_daemon *d, const struct hp_serve_request *req,
		   struct hp_listener **ret, struct hp_err *err)
{
	struct sockaddr_storage addr;
	struct hp_listener *l;
	bool loopback;
	int k;

	if ((k = hp_tcp_parse(req->addr, &addr, &loopback, err)) < 0 ||
	    (k = check(d, req, loopback, err)) < 0)
		return k;
	l = calloc(1, sizeof(*l));
	if (!l)
		return hp_err_sys(err, ENOMEM, "listener");
	*l = (struct hp_listener){.d = d,
				  .port = {.ring = d->ring, .fd = -1, .taken = taken},
				  .pid = req->pid,
				  .pidfd = pidfd_open(req->pid, 0),
				  .exited.done = process_exited,
				  .by = *req->by,
				  .remote = !loopback,
				  .has_token = req->token != NULL,
				  .timeout_ns = req->timeout_ns,
				  .park_ns = req->park_ns,
				  .since_wall_ns = hp_wall_ns()};
	TAILQ_INSERT_TAIL(&d->listeners, l, link);
	if (l->pidfd < 0)
		k = hp_err_set(err, -HP_E_GONE, "process %d: no such process", req->pid);
	else
		k = hp_tcp_listen(&addr, l->addr, sizeof(l->addr), &l->port.fd, err);
	if (k < 0) {
		listener_free(l);
		return k;
	}
	if (req->token)
		token_sum(req->token, l->token);
	hp_ring_poll(d->ring, &l->exited, l->pidfd);
	hp_port_begin(&l->port);
	hp_log_about(HP_LOG_INFO, &(struct hp_log_about){.message_id = HP_MESSAGE_SERVED, .pid = l->pid},
		     "process %d is served on %s%s", l->pid, l->addr,
		     l->has_token ? ", with a token" : "");
	*ret = l;
	return 0;
}

int hp_serve_end(struct hp_daemon *d, const char *addr, struct hp_err *err)
{
	struct hp_listener *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		if (!l->closing && !strcmp(l->addr, addr)) {
			end(l, "as asked");
			return 0;
		}
	return hp_err_set(err, -HP_E_NOT_LOADED, "nothing is served on %.80s (hpctl serve --list)",
			  addr);
}

/* As for ptrace(2), what may not be read by its own user is root's in /proc. */
static bool owns(uid_t uid, pid_t pid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return stat(path, &st) == 0 && st.st_uid == uid;
}

int hp_serve_allow(const struct hp_conn *c, int *status, struct hp_err *err)
{
	const struct hp_listener *l = c->from;
	unsigned char sum[HP_SERVE_TOKEN_SUM];

	if (l->has_token) {
		token_sum(c->http.bearer, sum);
		if (sodium_memcmp(sum, l->token, sizeof(sum)) == 0)
			return 0;
		*status = 401;
		return hp_err_set(err, -HP_E_DENIED,
				  "the header 'Authorization: Bearer TOKEN' is missing or wrong");
	}
	*status = 403;
	if (c->http.origin)
		return hp_err_set(err, -HP_E_DENIED, "pages in a browser may not use this");
	if (!c->peer.known)
		return hp_err_set(err, -HP_E_DENIED,
				  "it cannot be told who you are: connect from this machine and stay, "
				  "or use a token (hpctl serve --token-file)");
	if (c->peer.uid == 0 || owns(c->peer.uid, l->pid))
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "uid %u may not use this: only root and the owner of process %d may",
			  c->peer.uid, l->pid);
}

json_t *hp_serve_describe(const struct hp_listener *l)
{
	return json_pack("{s:s,s:i,s:b,s:b,s:I,s:o}", "http", l->addr, "pid", (int)l->pid, "remote",
			 l->remote, "token", l->has_token, "clients", (json_int_t)l->n_conns,
			 "since", hp_json_time(l->since_wall_ns));
}
