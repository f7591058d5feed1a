/* SPDX-License-Identifier: MIT */
/*
 * TCP by sock_diag(7), which asks for one port at a time and tells how long a connection was silent;
 * unix sockets by /proc/PID/net/unix.  The kernel does not say how old a connection is.
 */
#include "service/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "service/fds.h"
#include "service/sockets.h"
#include "service/tcpdiag.h"

/* All in which a program may still send or receive. */
#define STATES                                                                                     \
	(HP_TCP_BIT(TCP_ESTABLISHED) | HP_TCP_BIT(TCP_FIN_WAIT1) | HP_TCP_BIT(TCP_FIN_WAIT2) |     \
	 HP_TCP_BIT(TCP_CLOSE_WAIT))
#define UNIX_CONNECTED 3 /* SS_CONNECTED, linux/net.h */

struct search {
	struct hp_connections *found;
	struct hp_inodes held; /* the sockets of the program */
	const struct hp_listener *l;
	int r;
};

static int add_held(struct hp_inodes *to, pid_t pid)
{
	struct hp_fd_list fds = {0};
	int r = hp_fd_list_read(&fds, pid);

	for (size_t i = 0; r == 0 && i < fds.n; i++) {
		ino_t *v;

		if (fds.v[i].kind != HP_FD_SOCKET)
			continue;
		v = HP_ARRAY_ADD(to);
		if (v)
			*v = fds.v[i].ino;
		else
			r = -ENOMEM;
	}
	hp_fd_list_free(&fds);
	return r;
}

static struct hp_connection *add(struct search *s)
{
	struct hp_connection *c = HP_ARRAY_ADD(s->found);

	if (c)
		c->idle[0] = 0;
	else
		s->r = -ENOMEM;
	return c;
}

static int take_tcp(void *arg, const struct inet_diag_msg *m, size_t n)
{
	struct search *s = arg;
	int left = (int)n;
	char host[INET6_ADDRSTRLEN] = "?";
	struct hp_connection *c;

	if (!m->idiag_inode || !hp_inodes_have(&s->held, m->idiag_inode))
		return 0;
	c = add(s);
	if (!c)
		return s->r;
	(void)inet_ntop(m->idiag_family, m->id.idiag_dst, host, sizeof(host)); /* there is room */
	(void)snprintf(c->text, sizeof(c->text), "%s from %s port %u", s->l->text, host,
		       ntohs(m->id.idiag_dport));
	for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		const struct tcp_info *info = RTA_DATA(a);

		if (a->rta_type == INET_DIAG_INFO &&
		    RTA_PAYLOAD(a) >= offsetof(struct tcp_info, tcpi_last_ack_recv))
			(void)snprintf(c->idle, sizeof(c->idle), ", idle for %.1f s",
				       (double)(info->tcpi_last_data_recv < info->tcpi_last_data_sent
							? info->tcpi_last_data_recv
							: info->tcpi_last_data_sent) /
					       1000);
	}
	return 0;
}

static int read_tcp(struct search *s)
{
	const struct sockaddr_in *in =
		(const struct sockaddr_in *)&s->l->addr; /* the port: same place */
	const struct hp_tcp_ask ask = {.family = s->l->family,
				       .port = in->sin_port,
				       .states = STATES,
				       .ext = INET_DIAG_INFO};

	return hp_tcp_diag(&ask, take_tcp, s);
}

static void take_unix(struct search *s, const char *line, const char *name)
{
	struct hp_connection *c;
	unsigned state;
	unsigned long ino;
	int at = 0;

	if (sscanf(line, "%*s %*s %*s %*s %*s %x %lu %n", &state, &ino, &at) != 2 || !at)
		return;
	if (state != UNIX_CONNECTED || strcmp(line + at, name) != 0 || !hp_inodes_have(&s->held, ino))
		return;
	c = add(s);
	if (c)
		(void)snprintf(c->text, sizeof(c->text), "%s", s->l->text);
}

static int read_unix(struct search *s)
{
	const char *name = s->l->text + strlen("unix ");
	char path[64], line[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/unix", (int)getpid());
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (s->r == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		take_unix(s, line, name);
	}
	fclose(f);
	return s->r;
}

/* A SO_REUSEPORT group has one port. */
static bool asked_before(const struct hp_listeners *l, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (hp_listener_same_address(&l->v[k], &l->v[i]))
			return true;
	return false;
}

/* Connections of IPv4 to a socket for both are listed as IPv6's. */
static int read_one(struct search *s)
{
	return s->l->family == AF_UNIX ? read_unix(s) : read_tcp(s);
}

int hp_connections_read(struct hp_connections *ret, const struct hp_procs *procs,
			const struct hp_listeners *l)
{
	struct search s = {.found = ret};
	int r = 0;

	ret->n = 0;
	for (size_t i = 0; r == 0 && i < procs->n; i++)
		r = add_held(&s.held, procs->v[i]);
	hp_inodes_sort(&s.held);
	for (size_t i = 0; r == 0 && i < l->n; i++) {
		s.l = &l->v[i];
		if (s.l->type != SOCK_DGRAM && !asked_before(l, i))
			r = read_one(&s);
	}
	hp_inodes_free(&s.held);
	return r;
}

void hp_connections_free(struct hp_connections *c)
{
	HP_ARRAY_FREE(c);
}
