/* SPDX-License-Identifier: MIT */
/*
 * daemon/serve.h – hotgo's interface to one process, on TCP (hpctl serve).
 *
 * A listener lives as long as hpd and its process do.  Who may use it: with a token, whoever knows
 * it; without one, on loopback only, root and the user who owns the process.  What they ask for is
 * done with the rights of who began it, and the policy is asked each time.  A process may execute a
 * set-user-id program in between: what its owner may, or who has the token, ends there.
 */
#ifndef HP_DAEMON_SERVE_H
#define HP_DAEMON_SERVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "access/peer.h"
#include "ipc/record.h"
#include "ipc/ring.h"
#include "ipc/tcp.h"

struct hp_client;
struct hp_daemon;
struct hp_err;
struct hp_job_request;

#define HP_SERVE_TOKEN_MIN 16
#define HP_SERVE_TOKEN_SUM 32

struct hp_serve {
	TAILQ_ENTRY(hp_serve) link;
	struct hp_daemon *d;
	uint32_t id; /* what front calls it; never given twice */
	int fd;	     /* the listening socket; front accepts on its own copy */
	char addr[HP_TCP_ADDR_MAX];
	pid_t pid;
	int pidfd;
	struct hp_ring_op exited;
	struct hp_peer by; /* who began it: with whose rights its operations are done */
	uid_t of; /* whose process it was then */
	bool remote;
	bool has_token;
	unsigned char token[HP_SERVE_TOKEN_SUM]; /* its SHA-256 */
	uint64_t timeout_ns, park_ns; /* of its loads and unloads */
	uint64_t since_wall_ns;
	size_t n_conns; /* as front says */
	bool closing;	/* freed when the ring and the last client are done with it */
};

/* Begins to listen, as @rec of @by asks (HP_ASK_SERVE); *ret stays d's. */
int hp_serve_begin(struct hp_daemon *d, const struct hp_peer *by, const struct hp_record *rec,
		   struct hp_serve **ret, struct hp_err *err);
/* The one on @addr, as it is listed; -HP_E_NOT_LOADED. */
int hp_serve_end(struct hp_daemon *d, const char *addr, struct hp_err *err);
/* Ends all. */
void hp_serve_end_all(struct hp_daemon *d);
/* NULL: none, or no longer. */
struct hp_serve *hp_serve_find(struct hp_daemon *d, uint32_t id);
/* … or whether there ever was one: front may not have heard of its end. */
bool hp_serve_was(uint32_t id);
/* Frees what has ended; called when nobody up the stack holds one. */
void hp_serve_sweep(struct hp_daemon *d);
void hp_serve_free_all(struct hp_daemon *d);

/* Whether @c, who said @rec, may use @l: 0, or -HP_E_DENIED and *status, 401 or 403.  req->of: that was
 * judged of this user's process, and it must be that still when something is done to it; 0: of
 * anybody's. */
int hp_serve_allow(const struct hp_serve *l, const struct hp_client *c, const struct hp_record *rec,
		   struct hp_job_request *req, unsigned *status, struct hp_err *err);

/* One, as it is listed. */
json_t *hp_serve_describe(const struct hp_serve *l);

#endif
