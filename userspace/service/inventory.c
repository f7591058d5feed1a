/* SPDX-License-Identifier: MIT */
#include "service/inventory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"
#include "service/fds.h"
#include "service/path.h"
#include "service/sockets.h"

#define SIOCUNIXFILE SIOCPROTOPRIVATE /* of linux/un.h, beside which there can be no sys/un.h */

static const char *unix_text(const struct hp_listener *l, char *buf)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&l->addr;
	size_t n = l->addr_len > offsetof(struct sockaddr_un, sun_path)
			   ? l->addr_len - offsetof(struct sockaddr_un, sun_path)
			   : 0;

	if (n && !un->sun_path[0])
		(void)snprintf(buf, HP_ADDR_TEXT, "unix @%.*s", (int)(n - 1), un->sun_path + 1);
	else
		(void)snprintf(buf, HP_ADDR_TEXT, "unix %.*s", (int)n, un->sun_path);
	return buf;
}

const char *hp_address_text(const struct hp_listener *l, char *buf)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&l->addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&l->addr;
	const char *proto = l->type == SOCK_STREAM ? "tcp" : "udp";
	char host[INET6_ADDRSTRLEN];

	if (l->family == AF_UNIX)
		return unix_text(l, buf);
	if (l->family == AF_INET) {
		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)); /* there is room */
		(void)snprintf(buf, HP_ADDR_TEXT, "%s %s:%u", proto, host, ntohs(in->sin_port));
	} else {
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)); /* there is room */
		(void)snprintf(buf, HP_ADDR_TEXT, "%s [%s]:%u%s", proto, host,
			       ntohs(in6->sin6_port), l->v6only && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)
				       ? " (IPv6 only)"
				       : "");
	}
	return buf;
}

static int get_int(int fd, int level, int name, int *ret)
{
	socklen_t n = sizeof(*ret);

	return getsockopt(fd, level, name, ret, &n) ? -errno : 0;
}

int hp_listener_describe(struct hp_listener *ret, int fd)
{
	struct hp_listener l = {.fd = -1, .addr_len = sizeof(l.addr)};
	int reuseport = 0, v6only = 0, r;
	struct stat st;

	r = get_int(fd, SOL_SOCKET, SO_DOMAIN, &l.family);
	if (r == 0)
		r = get_int(fd, SOL_SOCKET, SO_TYPE, &l.type);
	if (r == 0)
		r = get_int(fd, SOL_SOCKET, SO_PROTOCOL, &l.protocol);
	if (r < 0)
		return r;
	if (getsockname(fd, (struct sockaddr *)&l.addr, &l.addr_len) || fstat(fd, &st))
		return -errno;
	/* Families without these options have none. */
	(void)get_int(fd, SOL_SOCKET, SO_REUSEPORT, &reuseport);
	if (l.family == AF_INET6)
		(void)get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only);
	l.ino = st.st_ino;
	l.reuseport = reuseport;
	l.v6only = v6only;
	l.status = fcntl(fd, F_GETFL);
	(void)hp_address_text(&l, l.text);
	*ret = l;
	return 0;
}

/* The file that bind(2) made for socket @fd, by whatever name it goes now. */
static int bound_file(int fd, struct hp_file_id *ret)
{
	hp_autoclose int file = ioctl(fd, SIOCUNIXFILE);

	return file < 0 ? -errno : hp_file_id_read(file, ret);
}

/* The path is the one that the program gave to bind(2): as it sees it.  What it leads to by now whoever
 * owns a directory on the way has chosen. */
static int find_file(struct hp_listener *l, int fd, struct hp_err *err)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&l->addr;
	char path[sizeof(un->sun_path) + 1] = "";
	struct hp_file_id there;
	int r;

	if (l->family != AF_UNIX || !un->sun_path[0])
		return 0;
	memcpy(path, un->sun_path, sizeof(un->sun_path));
	r = bound_file(fd, &l->file);
	if (r < 0)
		return hp_err_set(err, r == -EPERM ? -HP_E_DENIED : r,
				  "which file the unix socket '%s' of process %d is bound to: %s%s", path,
				  (int)l->pid, strerror(-r),
				  r == -EPERM ? " (that takes CAP_NET_ADMIN)" : "");
	r = hp_path_id(l->pid, AT_FDCWD, path, &there);
	if (r < 0)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d listens on the unix socket '%s', but from its working "
				  "directory that path leads nowhere (%s): no client can call there",
				  (int)l->pid, path, strerror(-r));
	if (!hp_file_id_same(&l->file, &there))
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d listens on the unix socket '%s', but another file is at "
				  "that path by now: no client can call there",
				  (int)l->pid, path);
	return 0;
}

static bool is_ephemeral(const struct hp_listener *l)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&l->addr; /* the port: same place */
	unsigned lo = 0, hi = 0;
	char *text;

	if (l->type != SOCK_DGRAM || l->family == AF_UNIX ||
	    hp_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64, &text, NULL) < 0)
		return false;
	(void)sscanf(text, "%u %u", &lo, &hi); /* or nothing is */
	free(text);
	return ntohs(in->sin_port) >= lo && ntohs(in->sin_port) <= hi;
}

static int take(struct hp_listeners *to, pid_t pid, int pidfd, int fd, ino_t ino, bool keep,
		struct hp_err *err)
{
	hp_autoclose int ours = pidfd_getfd(pidfd, fd, 0);
	struct hp_listener l, *v;
	int r;

	if (ours < 0 && (errno == EBADF || errno == ESRCH))
		return 0; /* closed meanwhile */
	if (ours < 0)
		return hp_err_set(err, errno == EPERM ? -HP_E_DENIED : -errno,
				  "taking descriptor %d of process %d: %s", fd, (int)pid,
				  strerror(errno));
	r = hp_listener_describe(&l, ours);
	if (r < 0)
		return hp_err_sys(err, -r, "socket %d of process %d", fd, (int)pid);
	if (l.ino != ino)
		return 0; /* another one by now */
	l.pid = pid;
	l.at = fd;
	l.optional = is_ephemeral(&l);
	r = find_file(&l, ours, err);
	if (r < 0)
		return r;
	v = HP_ARRAY_ADD(to);
	if (!v)
		return hp_err_sys(err, ENOMEM, "listeners of process %d", (int)pid);
	*v = l;
	if (keep)
		v->fd = HP_TAKE_FD(ours);
	return 0;
}

static int read_process(struct hp_listeners *to, pid_t pid, const struct hp_inodes *called,
			bool keep, struct hp_err *err)
{
	hp_autoclose int pidfd = pidfd_open(pid, 0);
	struct hp_fd_list fds = {0};
	int r;

	if (pidfd < 0)
		return errno == ESRCH ? 0 : hp_err_sys(err, errno, "pidfd of %d", (int)pid);
	r = hp_fd_list_read(&fds, pid);
	if (r < 0)
		r = hp_err_set(err, r == -EACCES ? -HP_E_DENIED : r,
			       "the descriptors of process %d: %s", (int)pid, strerror(-r));
	for (size_t i = 0; r == 0 && i < fds.n; i++) {
		const struct hp_fd *f = &fds.v[i];

		if (f->kind == HP_FD_SOCKET && hp_inodes_have(called, f->ino) &&
		    !hp_listeners_find(to, f->ino))
			r = take(to, pid, pidfd, f->fd, f->ino, keep, err);
	}
	hp_fd_list_free(&fds);
	return r;
}

int hp_listeners_read(struct hp_listeners *ret, const struct hp_procs *procs, bool keep,
		      struct hp_err *err)
{
	struct hp_inodes called = {0};
	int r = 0;

	hp_listeners_close(ret);
	ret->n = 0;
	if (procs->n)
		r = hp_sockets_read(&called, procs->v[0], err);
	for (size_t i = 0; r == 0 && i < procs->n; i++)
		r = read_process(ret, procs->v[i], &called, keep, err);
	hp_inodes_free(&called);
	return r;
}

void hp_listeners_close(struct hp_listeners *l)
{
	for (size_t i = 0; i < l->n; i++)
		hp_close(&l->v[i].fd);
}

void hp_listeners_free(struct hp_listeners *l)
{
	hp_listeners_close(l);
	HP_ARRAY_FREE(l);
}

struct hp_listener *hp_listeners_find(const struct hp_listeners *l, ino_t ino)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ino == ino)
			return &l->v[i];
	return NULL;
}

bool hp_listeners_held_by(const struct hp_listeners *l, pid_t pid)
{
	struct hp_fd_list fds = {0};
	bool found = false;

	if (hp_fd_list_read(&fds, pid) == 0)
		for (size_t i = 0; i < fds.n && !found; i++)
			found = fds.v[i].kind == HP_FD_SOCKET && hp_listeners_find(l, fds.v[i].ino);
	hp_fd_list_free(&fds);
	return found;
}

static bool is_any(const struct sockaddr_in6 *in6)
{
	return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static bool same_unix(const struct hp_listener *a, const struct hp_listener *b)
{
	if (a->file.ino || b->file.ino)
		return hp_file_id_same(&a->file, &b->file);
	return a->addr_len == b->addr_len && !memcmp(&a->addr, &b->addr, a->addr_len);
}

bool hp_listener_same_address(const struct hp_listener *a, const struct hp_listener *b)
{
	const struct sockaddr_in *x = (const struct sockaddr_in *)&a->addr;
	const struct sockaddr_in *y = (const struct sockaddr_in *)&b->addr;
	const struct sockaddr_in6 *x6 = (const struct sockaddr_in6 *)&a->addr;
	const struct sockaddr_in6 *y6 = (const struct sockaddr_in6 *)&b->addr;

	if (a->family != b->family || a->type != b->type || a->protocol != b->protocol)
		return false;
	switch (a->family) {
	case AF_INET:
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	case AF_INET6:
		/* The kernel sets V6ONLY itself for an address that is IPv6's alone (inet6_bind()). */
		return x6->sin6_port == y6->sin6_port &&
		       (a->v6only == b->v6only || !is_any(x6)) &&
		       x6->sin6_scope_id == y6->sin6_scope_id &&
		       !memcmp(&x6->sin6_addr, &y6->sin6_addr, sizeof(x6->sin6_addr));
	case AF_UNIX:
		return same_unix(a, b);
	}
	return false;
}

void hp_listeners_drop_unhanded(struct hp_listeners *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].handed)
			l->v[kept++] = l->v[i];
		else
			hp_close(&l->v[i].fd);
	}
	l->n = kept;
}
