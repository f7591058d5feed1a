/* SPDX-License-Identifier: MIT */
/* service/connections.h – connections that a program has accepted, and not closed yet. */
#ifndef HP_SERVICE_CONNECTIONS_H
#define HP_SERVICE_CONNECTIONS_H

#include "service/inventory.h"
#include "service/procs.h"

struct hp_connection {
	char text[HP_ADDR_TEXT + 80]; /* "tcp 127.0.0.1:80 from 127.0.0.1:40312" */
	char idle[48];		      /* ", idle for 1.2 s", or "" */
};

struct hp_connections {
	struct hp_connection *v;
	size_t n, room;
};

/* Those of @procs that came in by @l.  Their sockets are not touched.  Replaces what @ret held.
 * 0 or a negative errno. */
int hp_connections_read(struct hp_connections *ret, const struct hp_procs *procs,
			const struct hp_listeners *l);
void hp_connections_free(struct hp_connections *c);

#endif
