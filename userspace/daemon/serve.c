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
#include <unistd.h>

#include "access/access.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/json_out.h"
#include "hp/err.h"

_Static_assert(HP_SERVE_TOKEN_SUM == crypto_hash_sha256_BYTES, "the token's sum");

#define LISTENERS_MAX 64

static uint32_t last_id;

static void token_sum(const char *token, unsigned char sum[HP_SERVE_TOKEN_SUM])
{
	(void)crypto_hash_sha256(sum, (const unsigned char *)token, strlen(token)); /* always 0 */
}

/* It takes nobody any more; what is being answered is. */
static void end(struct hp_serve *l, const char *why)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_SERVED, .pid = l->pid};
	if (l->closing)
		return;
	l->closing = true;
	hp_log_about(HP_LOG_INFO, &about, "process %d is served on %s no more: %s", l->pid, l->addr,
		     why);
	hp_front_unlisten(&l->d->front, l);
	hp_close(&l->fd);
	hp_ring_cancel(l->d->ring, &l->exited);
}

static void process_exited(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_serve *l = (struct hp_serve *)((char *)op -
						       offsetof(struct hp_serve, exited));

	if (res >= 0)
		end(l, "it has exited");
}

static void listener_free(struct hp_serve *l)
{
	TAILQ_REMOVE(&l->d->listeners, l, link);
	hp_close(&l->fd);
	hp_close(&l->pidfd);
	free(l);
}

static bool is_waited_for(const struct hp_serve *l)
{
	const struct hp_client *c;

	TAILQ_FOREACH(c, &l->d->clients, link)
		if (c->from == l)
			return true;
	return false;
}

struct hp_serve *hp_serve_find(struct hp_daemon *d, uint32_t id)
{
	struct hp_serve *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		if (l->id == id)
			return l;
	return NULL;
}

bool hp_serve_was(uint32_t id)
{
	return id && id <= last_id;
}

void hp_serve_sweep(struct hp_daemon *d)
{
	struct hp_serve *l, *next;
	bool freed = false;

	for (l = TAILQ_FIRST(&d->listeners); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!l->closing || l->n_conns || l->exited.armed || is_waited_for(l))
			continue;
		listener_free(l);
		freed = true;
	}
	if (freed)
		hp_daemon_settle(d);
}

void hp_serve_free_all(struct hp_daemon *d)
{
	struct hp_serve *l;

	while ((l = TAILQ_FIRST(&d->listeners)))
		listener_free(l);
}

void hp_serve_end_all(struct hp_daemon *d)
{
	struct hp_serve *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		end(l, "hpd ends");
}

static int check(struct hp_daemon *d, const struct hp_record *rec, const char *addr, bool loopback,
		 struct hp_err *err)
{
	const struct hp_serve *l;
	size_t n = 0;

	TAILQ_FOREACH(l, &d->listeners, link)
		n++;
	if (n >= LISTENERS_MAX)
		return hp_err_set(err, -HP_E_FAILED, "there are %d listeners already",
				  LISTENERS_MAX);
	if (!loopback && !(rec->flags & HP_FLAG_ALLOW_REMOTE))
		return hp_err_set(err, -HP_E_DENIED,
				  "%s can be reached from other machines: whoever reaches it may run "
				  "code in process %d (--allow-remote and a token permit it)",
				  addr, rec->pid);
	if (!loopback && !*rec->token)
		return hp_err_set(err, -HP_E_DENIED,
				  "%s can be reached from other machines: it needs a token "
				  "(--token-file)",
				  addr);
	if (*rec->token && strlen(rec->token) < HP_SERVE_TOKEN_MIN)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "a token has %d to %d characters",
				  HP_SERVE_TOKEN_MIN, HP_RECORD_TOKEN - 1);
	return 0;
}

/* To whom a token gives rights over a program that got somebody else's as well, nobody can mean. */
static int read_owner(struct hp_serve *l, struct hp_err *err)
{
	int k = hp_access_uid(l->pid, &l->of, err);

	if (k < 0 || !l->has_token || l->of != (uid_t)-1)
		return k;
	return hp_err_set(err, -HP_E_DENIED,
			  "process %d runs with the rights of several users, as a set-user-id program "
			  "does: it is not served with a token",
			  l->pid);
}

int hp_serve_begin(struct hp_daemon *d, const struct hp_peer *by, const struct hp_record *rec,
		   struct hp_serve **ret, struct hp_err *err)
{
	struct sockaddr_storage addr;
	char shown[HP_TCP_ADDR_MAX];
	struct hp_serve *l;
	bool loopback;
	int k;

	hp_tcp_get(rec, &addr);
	hp_tcp_show(&addr, shown, sizeof(shown));
	loopback = hp_tcp_is_loopback(&addr);
	k = check(d, rec, shown, loopback, err);
	if (k < 0)
		return k;
	l = calloc(1, sizeof(*l));
	if (!l)
		return hp_err_sys(err, ENOMEM, "listener");
	*l = (struct hp_serve){.d = d,
				  .id = ++last_id,
				  .fd = -1,
				  .pid = rec->pid,
				  .pidfd = pidfd_open(rec->pid, 0),
				  .exited.done = process_exited,
				  .by = *by,
				  .remote = !loopback,
				  .has_token = *rec->token,
				  .timeout_ns = rec->timeout_ns,
				  .park_ns = rec->park_ns,
				  .since_wall_ns = hp_wall_ns()};
	TAILQ_INSERT_TAIL(&d->listeners, l, link);
	if (l->pidfd < 0)
		k = hp_err_set(err, -HP_E_GONE, "process %d: no such process", rec->pid);
	else
		k = read_owner(l, err);
	if (k == 0)
		k = hp_tcp_listen(&addr, l->addr, sizeof(l->addr), &l->fd, err);
	if (k < 0) {
		listener_free(l);
		return k;
	}
	if (*rec->token)
		token_sum(rec->token, l->token);
	hp_ring_poll(d->ring, &l->exited, l->pidfd);
	hp_front_listen(&d->front, l);
	hp_log_about(HP_LOG_INFO, &(struct hp_log_about){.message_id = HP_MESSAGE_SERVED, .pid = l->pid},
		     "process %d is served on %s%s", l->pid, l->addr,
		     l->has_token ? ", with a token" : "");
	*ret = l;
	return 0;
}

int hp_serve_end(struct hp_daemon *d, const char *addr, struct hp_err *err)
{
	struct hp_serve *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		if (!l->closing && !strcmp(l->addr, addr)) {
			end(l, "as asked");
			return 0;
		}
	return hp_err_set(err, -HP_E_NOT_LOADED, "nothing is served on %.80s (hpctl serve --list)",
			  addr);
}

int hp_serve_allow(const struct hp_serve *l, const struct hp_client *c, const struct hp_record *rec,
		   struct hp_job_request *req, unsigned *status, struct hp_err *err)
{
	unsigned char sum[HP_SERVE_TOKEN_SUM];

	req->of = l->has_token ? l->of : c->peer.uid;
	req->by_owner = !l->has_token;
	if (l->has_token) {
		token_sum(rec->token, sum);
		if (sodium_memcmp(sum, l->token, sizeof(sum)) == 0)
			return 0;
		*status = 401;
		return hp_err_set(err, -HP_E_DENIED,
				  "the header 'Authorization: Bearer TOKEN' is missing or wrong");
	}
	*status = 403;
	if (rec->flags & HP_FLAG_ORIGIN)
		return hp_err_set(err, -HP_E_DENIED, "pages in a browser may not use this");
	if (!c->peer.known)
		return hp_err_set(err, -HP_E_DENIED,
				  "it cannot be told who you are: connect from this machine and stay, "
				  "or use a token (hpctl serve --token-file)");
	if (c->peer.uid == 0 || hp_access_owns(c->peer.uid, l->pid))
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "uid %u may not use this: only root and the owner of process %d may",
			  c->peer.uid, l->pid);
}

json_t *hp_serve_describe(const struct hp_serve *l)
{
	return json_pack("{s:s,s:i,s:b,s:b,s:I,s:o}", "http", l->addr, "pid", (int)l->pid, "remote",
			 l->remote, "token", l->has_token, "clients", (json_int_t)l->n_conns,
			 "since", hp_json_time(l->since_wall_ns));
}
