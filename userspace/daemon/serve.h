/* SPDX-License-Identifier: MIT */
/*
 * daemon/serve.h – hotgo's interface to one process, on TCP (hpctl serve).
 *
 * A listener lives as long as hpd and its process do.  Who may use it: with a token, whoever knows
 * it; without one, on loopback only, root and the user who owns the process.  What they ask for is
 * done with the rights of who began it, and the policy is asked each time.
 */
#ifndef HP_DAEMON_SERVE_H
#define HP_DAEMON_SERVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/peer.h"
#include "front/port.h"
#include "daemon/tcp.h"

struct hp_conn;
struct hp_daemon;
struct hp_err;

#define HP_SERVE_TOKEN_MIN 16
#define HP_SERVE_TOKEN_SUM 32

struct hp_listener {
	TAILQ_ENTRY(hp_listener) link;
	struct hp_daemon *d;
	struct hp_port port;
	char addr[HP_TCP_ADDR_MAX];
	pid_t pid;
	int pidfd;
	struct hp_ring_op exited;
	struct hp_peer by; /* who began it: with whose rights its operations are done */
	bool remote;
	bool has_token;
	unsigned char token[HP_SERVE_TOKEN_SUM]; /* its SHA-256 */
	uint64_t timeout_ns, park_ns; /* of its loads and unloads */
	uint64_t since_wall_ns;
	size_t n_conns;
	bool closing; /* freed when the ring and the last connection are done with it */
};

struct hp_serve_request {
	const struct hp_peer *by;
	pid_t pid;
	const char *addr, *token; /* token: NULL: none */
	bool allow_remote;
	uint64_t timeout_ns, park_ns;
};

/* Begins to listen; *ret stays d's. */
int hp_serve_begin(struct hp_daemon *d, const struct hp_serve_request *req,
		   struct hp_listener **ret, struct hp_err *err);
/* The one on @addr, as it is listed; -HP_E_NOT_LOADED. */
int hp_serve_end(struct hp_daemon *d, const char *addr, struct hp_err *err);
/* Ends all. */
void hp_serve_end_all(struct hp_daemon *d);
/* Frees what has ended; called when nobody up the stack holds one. */
void hp_serve_sweep(struct hp_daemon *d);
void hp_serve_free_all(struct hp_daemon *d);

/* Whether the client of @c may use its listener: 0, or -HP_E_DENIED and *status, 401 or 403. */
int hp_serve_allow(const struct hp_conn *c, int *status, struct hp_err *err);

/* One, as it is listed. */
json_t *hp_serve_describe(const struct hp_listener *l);

#endif
