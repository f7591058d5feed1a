/* SPDX-License-Identifier: MIT */
#include "ipc/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "hp/err.h"
#include "ipc/record.h"

static socklen_t size_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static bool parse_port(const char *text, in_port_t *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 0 || n > 65535)
		return false;
	*ret = htons((in_port_t)n);
	return true;
}

/* @host without its brackets. */
static bool parse_host(const char *host, bool brackets, in_port_t port,
		       struct sockaddr_storage *ret)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = port};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port};

	if (!strcmp(host, "localhost"))
		host = "127.0.0.1";
	*ret = (struct sockaddr_storage){0};
	if (!brackets && *host) {
		if (inet_pton(AF_INET, host, &four.sin_addr) != 1)
			return false;
		memcpy(ret, &four, sizeof(four));
		return true;
	}
	if (*host && inet_pton(AF_INET6, host, &six.sin6_addr) != 1)
		return false;
	memcpy(ret, &six, sizeof(six));
	return true;
}

int hp_tcp_parse(const char *text, struct sockaddr_storage *ret, struct hp_err *err)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 1];
	bool brackets = *text == '[';
	size_t n = colon ? (size_t)(colon - text) : 0;
	in_port_t port;

	if (!colon || n >= sizeof(host) + 2 || (brackets && (n < 2 || text[n - 1] != ']')))
		goto bad;
	if (brackets) {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host) || !parse_port(colon + 1, &port))
		goto bad;
	memcpy(host, text, n);
	host[n] = 0;
	if (parse_host(host, brackets, port, ret))
		return 0;
bad:
	return hp_err_set(err, -HP_E_BAD_REQUEST,
			  "'%.80s' is no address: it is written 127.0.0.1:8080 or [::1]:8080", text);
}

bool hp_tcp_is_loopback(const struct sockaddr_storage *addr)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	memcpy(&six, addr, sizeof(six));
	memcpy(&four, addr, sizeof(four));
	return addr->ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&six.sin6_addr)
					   : ntohl(four.sin_addr.s_addr) >> 24 == 127;
}

void hp_tcp_put(const struct sockaddr_storage *from, struct hp_record *to)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	memcpy(&six, from, sizeof(six));
	memcpy(&four, from, sizeof(four));
	to->family = (uint16_t)from->ss_family;
	to->port = from->ss_family == AF_INET6 ? six.sin6_port : four.sin_port;
	if (from->ss_family == AF_INET6)
		memcpy(to->addr, &six.sin6_addr, sizeof(six.sin6_addr));
	else
		memcpy(to->addr, &four.sin_addr, sizeof(four.sin_addr));
}

void hp_tcp_get(const struct hp_record *from, struct sockaddr_storage *to)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = from->port};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = from->port};

	*to = (struct sockaddr_storage){0};
	memcpy(&six.sin6_addr, from->addr, sizeof(six.sin6_addr));
	memcpy(&four.sin_addr, from->addr, sizeof(four.sin_addr));
	if (from->family == AF_INET6)
		memcpy(to, &six, sizeof(six));
	else
		memcpy(to, &four, sizeof(four));
}

void hp_tcp_show(const struct sockaddr_storage *addr, char *buf, size_t n)
{
	char host[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	memcpy(&six, addr, sizeof(six));
	memcpy(&four, addr, sizeof(four));
	/* Both have room: inet_ntop() cannot fail. */
	if (addr->ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof(host));
		snprintf(buf, n, "[%s]:%u", host, ntohs(six.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &four.sin_addr, host, sizeof(host));
		snprintf(buf, n, "%s:%u", host, ntohs(four.sin_port));
	}
}

int hp_tcp_listen(const struct sockaddr_storage *addr, char *shown, size_t n, int *ret_fd,
		  struct hp_err *err)
{
	hp_autoclose int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage self = {0};
	socklen_t len = sizeof(self);
	int on = 1;

	hp_tcp_show(addr, shown, n);
	if (fd < 0)
		return hp_err_sys(err, errno, "socket for %s", shown);
	/* Connections of a listener before may be in TIME_WAIT. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)addr, size_of(addr)) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&self, &len) < 0)
		return hp_err_sys(err, errno, "listen on %s", shown);
	hp_tcp_show(&self, shown, n);
	*ret_fd = HP_TAKE_FD(fd);
	return 0;
}
