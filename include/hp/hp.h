/* SPDX-License-Identifier: MIT */
/*
 * hp/hp.h – programs that speak to hpd.
 *
 *	cc program.c $(pkg-config --cflags --libs hp)
 *
 *	struct hp_client_load load = {.size = sizeof(load), .pid = pid, .config.hp_file = "/srv/fix.so"};
 *	hp_client_open(&c, NULL, &err);
 *	hp_client_load(c, &load, &loaded, &err);
 *
 * Functions return 0 or a negative code, of which hp/err.h has the list, with a sentence in @err,
 * which may be NULL.  A handle may be used by any number of threads at once: each call is a
 * connection of its own.  Nothing is printed, and nothing is kept between calls.  See hp(3).
 */
#ifndef HP_HP_H
#define HP_HP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hp/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hp_client;

/* @socket NULL: $HP_SOCKET, else /run/hp/hpd.sock.  -HP_E_UNREACHABLE, -HP_E_DENIED. */
int hp_client_open(struct hp_client **ret, const char *socket, struct hp_err *err);
void hp_client_free(struct hp_client *c);

/* --- patches -------------------------------------------------------------------------------------- */

#define HP_ID_SIZE 65 /* 64 hexadecimal digits, and a NUL */

/* A line of a map. */
struct hp_name {
	const char *name;   /* in the patch: a function, or a variable */
	const char *symbol; /* in the process */
};

/* What the patch is: hotgo's Config. */
struct hp_config {
	const char *hp_file; /* absolute: hpd is elsewhere */
	const struct hp_name *replace;
	size_t n_replace;
	const struct hp_name *ref;
	size_t n_ref;
};

/* In each request: size is its sizeof; what is 0, NULL or false is left to hpd, and the others mean
 * what the options of hpctl(1) of their name do. */
struct hp_client_load {
	size_t size;
	pid_t pid;
	struct hp_config config;
	const char *mode;    /* "quiesce", "relaxed" */
	const char *quiesce; /* "auto", "watch", "gate" */
	unsigned timeout_ms, park_ms;
	bool no_stop;
};

struct hp_client_loaded {
	char hp_id[HP_ID_SIZE];
	uint64_t total_ns, gate_ns, longest_park_ns;
	unsigned on_old_code; /* relaxed: threads that were still in old functions */
};

struct hp_client_unload {
	size_t size;
	pid_t pid;
	const char *hp_id; /* or a prefix that names one patch */
	const char *quiesce;
	unsigned timeout_ms, park_ms;
	bool discard;
};

struct hp_client_unloaded {
	char hp_id[HP_ID_SIZE];
	uint64_t total_ns, gate_ns;
	bool retained; /* out of use, but mapped while something points into it */
};

/* hotgo's HPInfo, and where it is.  The strings live until hp_client_patches_free(). */
struct hp_client_patch {
	char hp_id[HP_ID_SIZE];
	struct hp_config config;
	pid_t pid;
	const char *comm, *loaded, *mode, *state, *detail; /* loaded: when, RFC 3339 */
};

struct hp_client_patches {
	size_t n;
	struct hp_client_patch *v;
	void *memory; /* libhp's */
};

/* @ret may be NULL.  A patch that is loaded already is -HP_E_ALREADY, with its id in @ret. */
int hp_client_load(struct hp_client *c, const struct hp_client_load *load,
		   struct hp_client_loaded *ret, struct hp_err *err);
int hp_client_unload(struct hp_client *c, const struct hp_client_unload *unload,
		     struct hp_client_unloaded *ret, struct hp_err *err);
/* What is loaded in @pid, or with 0 in all processes; hp_client_patches_free(). */
int hp_client_info(struct hp_client *c, pid_t pid, struct hp_client_patches *ret,
		   struct hp_err *err);
void hp_client_patches_free(struct hp_client_patches *p);
/* What a load would do, site by site, as a JSON document (for free(3)): what it would be refused for
 * is the error. */
int hp_client_check(struct hp_client *c, const struct hp_client_load *load, char **ret_json,
		    struct hp_err *err);

/* --- processes ------------------------------------------------------------------------------------ */

struct hp_client_restart {
	size_t size;
	pid_t pid;
	const char *const *command; /* ends with NULL; NULL: what runs now */
	const char *drain;	    /* "external", "graceful", "graceful:SIGQUIT" */
	unsigned ready_timeout_ms, drain_timeout_ms;
	const char *pidfile;
	bool allow_new_binds;
	bool wait; /* until the old process has drained */
	bool no_residue; /* no filter in the new one, traced until it is ready instead */
};

struct hp_client_restarted {
	pid_t pid;
	unsigned generation;
	uint64_t ready_ns;
};

int hp_client_restart(struct hp_client *c, const struct hp_client_restart *restart,
		      struct hp_client_restarted *ret, struct hp_err *err);

/* hotgo's HTTP and RPC for one process, on one "host:port"; which of the two a connection speaks is
 * the client's affair.  hpd serves them, until it is told otherwise (hpctl serve --stop). */
int hp_client_http_server(struct hp_client *c, pid_t pid, const char *address, struct hp_err *err);
int hp_client_rpc_server(struct hp_client *c, pid_t pid, const char *address, struct hp_err *err);

/* --- events --------------------------------------------------------------------------------------- */

struct hp_events;

/* Valid until the next call with the same stream. */
struct hp_event {
	const char *kind; /* "load", "step", … */
	const char *time; /* RFC 3339 */
	pid_t pid;
	const char *json; /* all of it */
};

/* What happens from now on to @pid, or with 0 to all.  One thread at a time has a stream. */
int hp_client_events(struct hp_client *c, pid_t pid, struct hp_events **ret, struct hp_err *err);
/* Readable when there may be more.  Events that come together are read at once: an event loop calls
 * hp_events_next() with 0 until it returns 0 before each wait, the first too. */
int hp_events_fd(const struct hp_events *e);
/* 1: an event.  0: none within @timeout_ms (-1: wait for ever).  Negative: the stream has ended. */
int hp_events_next(struct hp_events *e, int timeout_ms, struct hp_event *ret, struct hp_err *err);
void hp_events_free(struct hp_events *e);

/* --- all else ------------------------------------------------------------------------------------- */

/* Any request of hpd(8): @body is a JSON document or NULL, *ret_json the answer's, for free(3). */
int hp_client_ask(struct hp_client *c, const char *method, const char *path, const char *body,
		  char **ret_json, struct hp_err *err);

#ifdef __cplusplus
}
#endif

#endif
