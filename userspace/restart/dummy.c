/* SPDX-License-Identifier: MIT */
/*
 * Who reached it would be served by a program whose listener he may not reach: with a mode that keeps
 * him off, or at another address.  So a unix socket, which cannot listen without a name, has one
 * that it loses before it listens, and that nobody may open meanwhile; an abstract one would be in
 * /proc/net/unix for all to read.  A datagram socket drops whatever arrives.
 */
#include "restart/dummy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "service/inventory.h"

#define PATH "/run/hp/dummy-%d"

static int drop_all(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &nothing};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* The file gets the socket's own mode, with which only root could open it. */
static int bind_unix(int fd)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int r;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), PATH, (int)getpid());
	(void)unlink(un.sun_path); /* of a supervisor that was killed just here, and had our number */
	r = fchmod(fd, 0) ?: bind(fd, (const struct sockaddr *)&un, sizeof(un));
	return r ?: unlink(un.sun_path);
}

/* A port of the kernel's choice: a UDP socket without one is not in /proc/net, where target/choose.c
 * looks for what a thread waits for. */
static int bind_somewhere(int fd, int domain)
{
	const struct sockaddr_in in = {.sin_family = AF_INET,
				       .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	if (domain == AF_INET)
		return bind(fd, (const struct sockaddr *)&in, sizeof(in));
	if (domain == AF_INET6)
		return bind(fd, (const struct sockaddr *)&in6, sizeof(in6));
	return bind_unix(fd);
}

static int open_one(const struct hp_listener *l)
{
	bool datagrams = l->type == SOCK_DGRAM;
	int domain = datagrams ? l->family : AF_UNIX;
	hp_autoclose int fd = socket(domain, l->type | SOCK_CLOEXEC, 0);

	if (fd < 0 || (datagrams && drop_all(fd)) || bind_somewhere(fd, domain) ||
	    (!datagrams && listen(fd, 1)) ||
	    (l->status & O_NONBLOCK && fcntl(fd, F_SETFL, O_NONBLOCK)))
		return -errno;
	return HP_TAKE_FD(fd);
}

int hp_dummy_open(const struct hp_listener *l, struct hp_err *err)
{
	int fd = open_one(l);

	return fd < 0 ? hp_err_sys(err, -fd, "socket to take the place of %s", l->text) : fd;
}
