/* SPDX-License-Identifier: MIT */
#include "upgrade/address.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

/* ":80" is tried on both protocols. */
#define CHOICES_MAX 2

static const struct network {
	const char *name;
	enum hp_upgrade_kind kind;
	int family, type;
} networks[] = {
	{"tcp", HP_UPGRADE_LISTENER, AF_UNSPEC, SOCK_STREAM},
	{"tcp4", HP_UPGRADE_LISTENER, AF_INET, SOCK_STREAM},
	{"tcp6", HP_UPGRADE_LISTENER, AF_INET6, SOCK_STREAM},
	{"unix", HP_UPGRADE_LISTENER, AF_UNIX, SOCK_STREAM},
	{"unixpacket", HP_UPGRADE_LISTENER, AF_UNIX, SOCK_SEQPACKET},
	{"udp", HP_UPGRADE_PACKET, AF_UNSPEC, SOCK_DGRAM},
	{"udp4", HP_UPGRADE_PACKET, AF_INET, SOCK_DGRAM},
	{"udp6", HP_UPGRADE_PACKET, AF_INET6, SOCK_DGRAM},
	{"unixgram", HP_UPGRADE_PACKET, AF_UNIX, SOCK_DGRAM},
};

struct choice {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} a;
	socklen_t len;
};

static const struct network *find(const char *name)
{
	for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++)
		if (!strcmp(networks[i].name, name))
			return &networks[i];
	return NULL;
}

static const struct network *find_for(enum hp_upgrade_kind kind, const char *name,
				      struct hp_err *err)
{
	const struct network *n = find(name);

	if (n && n->kind == kind)
		return n;
	(void)hp_err_set(err, -EPROTONOSUPPORT, "'%s' is no network for a %s", name, /* NULL tells it */
			 kind == HP_UPGRADE_LISTENER ? "listener" : "packet socket");
	return NULL;
}

bool hp_address_is_dynamic(const char *network, const char *address)
{
	const struct network *n = find(network);
	const char *port = strrchr(address, ':');

	if (n && n->family == AF_UNIX)
		return !*address;
	return port && strspn(port + 1, "0") == strlen(port + 1);
}

bool hp_address_is_path(const char *network, const char *address)
{
	const struct network *n = find(network);

	return n && n->family == AF_UNIX && *address && *address != '@';
}

/* --- from text ---------------------------------------------------------------------------------- */

static int resolve_unix(const char *address, struct choice *c, struct hp_err *err)
{
	size_t n = strlen(address);

	memset(c, 0, sizeof(*c));
	if (n >= sizeof(c->a.un.sun_path))
		return hp_err_set(err, -ENAMETOOLONG, "'%s' is longer than %zu bytes", address,
				  sizeof(c->a.un.sun_path) - 1);
	c->a.un.sun_family = AF_UNIX;
	memcpy(c->a.un.sun_path, address, n);
	c->len = (socklen_t)offsetof(struct sockaddr_un, sun_path);
	if (*address == '@')
		c->a.un.sun_path[0] = 0;
	if (n) /* without a name the kernel binds it to one */
		c->len += (socklen_t)(n + (*address != '@'));
	return 1;
}

/* "host:port", "[host]:port", ":port" */
static int split(const char *address, char host[NI_MAXHOST], const char **port, struct hp_err *err)
{
	const char *colon = strrchr(address, ':'), *from = address;
	size_t n;

	if (!colon)
		return hp_err_set(err, -EINVAL, "address '%s' has no port", address);
	n = (size_t)(colon - address);
	if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
		from++;
		n -= 2;
	} else if (memchr(from, ':', n)) {
		return hp_err_set(err, -EINVAL, "address '%s' has too many colons: write [::1]:80",
				  address);
	}
	if (n >= NI_MAXHOST)
		return hp_err_set(err, -EINVAL, "the host in address '%.64s…' is too long", address);
	memcpy(host, from, n);
	host[n] = 0;
	*port = colon[1] ? colon + 1 : "0";
	return 0;
}

static int look_up(const struct network *net, const char *host, const char *port,
		   struct addrinfo **ret, const char *address, struct hp_err *err)
{
	struct addrinfo hints = {
		.ai_family = net->family, .ai_socktype = net->type, .ai_flags = AI_PASSIVE};
	int k = getaddrinfo(*host ? host : NULL, port, &hints, ret);

	if (k == EAI_SYSTEM)
		return hp_err_sys(err, errno, "address '%s'", address);
	if (k)
		return hp_err_set(err, k == EAI_MEMORY ? -ENOMEM : -EINVAL, "address '%s': %s",
				  address, gai_strerror(k));
	return 0;
}

static const struct addrinfo *of_family(const struct addrinfo *list, int family)
{
	while (list && list->ai_family != family)
		list = list->ai_next;
	return list;
}

/* A host has one address, IPv4 where it has both.  No host at all is every address: IPv6's, which
 * takes IPv4 too, unless the machine has none. */
static int resolve(const struct network *net, const char *address, struct choice *ret,
		   struct hp_err *err)
{
	char host[NI_MAXHOST];
	const struct addrinfo *order[CHOICES_MAX];
	struct addrinfo *list;
	const char *port = "";
	int n = 0, k;

	if (net->family == AF_UNIX)
		return resolve_unix(address, ret, err);
	k = split(address, host, &port, err);
	if (k == 0)
		k = look_up(net, host, port, &list, address, err);
	if (k < 0)
		return k;
	order[0] = of_family(list, *host ? AF_INET : AF_INET6);
	order[1] = of_family(list, *host ? AF_INET6 : AF_INET);
	for (int i = 0; i < CHOICES_MAX && !(*host && n); i++) {
		if (!order[i])
			continue;
		memset(&ret[n], 0, sizeof(ret[n]));
		memcpy(&ret[n].a, order[i]->ai_addr, order[i]->ai_addrlen);
		ret[n++].len = order[i]->ai_addrlen;
	}
	freeaddrinfo(list);
	return n ? n : hp_err_set(err, -EINVAL, "address '%s' is neither IPv4 nor IPv6", address);
}

/* --- sockets ------------------------------------------------------------------------------------- */

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int make(const struct hp_upgrade_options *o, const struct network *net,
		const struct choice *c, const char *address)
{
	hp_autoclose int fd = socket(c->a.any.sa_family, net->type | SOCK_CLOEXEC, 0);
	int k = 0;

	if (fd < 0)
		return -errno;
	/* "tcp" on [::] takes IPv4 too whatever the system's default is; "tcp6" does not. */
	if (c->a.any.sa_family == AF_INET6)
		k = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, net->family == AF_INET6);
	/* connections of an earlier process in TIME_WAIT do not matter */
	if (k == 0 && c->a.any.sa_family != AF_UNIX && net->type == SOCK_STREAM)
		k = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (k == 0 && o->prepare)
		k = o->prepare(o->arg, fd, net->name, address);
	if (k < 0)
		return k;
	if (bind(fd, &c->a.any, c->len) < 0)
		return -errno;
	/* The kernel cuts it down to net.core.somaxconn. */
	if (net->kind == HP_UPGRADE_LISTENER && listen(fd, INT_MAX) < 0)
		return -errno;
	return HP_TAKE_FD(fd);
}

int hp_address_listen(const struct hp_upgrade_options *o, enum hp_upgrade_kind kind,
		      const char *network, const char *address, struct hp_err *err)
{
	const struct network *net = find_for(kind, network, err);
	struct choice c[CHOICES_MAX];
	int n, fd = -1;

	if (!net)
		return -EPROTONOSUPPORT;
	n = resolve(net, address, c, err);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		fd = make(o, net, &c[i], address);
		if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
			break;
	}
	return fd < 0 ? hp_err_sys(err, -fd, "%s %s", network, address) : fd;
}

bool hp_address_listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

bool hp_address_matches(int fd, enum hp_upgrade_kind kind, const char *network, const char *address)
{
	const struct network *net = find(network);
	struct choice c[CHOICES_MAX], bound = {.len = sizeof(bound.a)};
	int type = 0, n;
	socklen_t len = sizeof(type);

	if (!net || net->kind != kind || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != net->type || hp_address_listens(fd) != (kind == HP_UPGRADE_LISTENER) ||
	    getsockname(fd, &bound.a.any, &bound.len) < 0)
		return false;
	if (bound.a.any.sa_family == AF_INET6)
		bound.a.in6.sin6_flowinfo = 0;
	n = resolve(net, address, c, NULL);
	for (int i = 0; i < n; i++)
		if (c[i].len == bound.len && !memcmp(&c[i].a, &bound.a, bound.len))
			return true;
	return false;
}

static int format_unix(const struct choice *c, char *ret, size_t size, struct hp_err *err)
{
	size_t n = c->len - offsetof(struct sockaddr_un, sun_path);
	const char *path = c->a.un.sun_path;
	bool abstract = n && !*path;

	if (!abstract)
		n = strnlen(path, n);
	else if (memchr(path + 1, 0, n - 1))
		return hp_err_set(err, -EINVAL, "the socket's abstract name has a NUL inside");
	if (n >= size)
		return hp_err_set(err, -ENOSPC, "the address has %zu bytes", n);
	memcpy(ret, path, n);
	if (abstract)
		*ret = '@';
	ret[n] = 0;
	return 0;
}

int hp_address_format(int fd, char *ret, size_t size, struct hp_err *err)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct choice c = {.len = sizeof(c.a)};
	bool v6;
	int k;

	if (getsockname(fd, &c.a.any, &c.len) < 0)
		return hp_err_sys(err, errno, "descriptor %d has no address", fd);
	if (c.a.any.sa_family == AF_UNIX)
		return format_unix(&c, ret, size, err);
	k = getnameinfo(&c.a.any, c.len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV);
	if (k)
		return hp_err_set(err, -EAFNOSUPPORT, "descriptor %d: %s", fd, gai_strerror(k));
	v6 = c.a.any.sa_family == AF_INET6;
	k = snprintf(ret, size, v6 ? "[%s]:%s" : "%s:%s", host, port);
	return k < 0 || (size_t)k >= size ? hp_err_set(err, -ENOSPC, "the address has %d bytes", k) : 0;
}
