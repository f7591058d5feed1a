/* SPDX-License-Identifier: MIT */
/*
 * The kernel knows who opened the socket at the other end when that is on this machine: sock_diag(7)
 * is asked for the one socket with our addresses exchanged.  What answers must be that very socket:
 * when it is gone the kernel looks for a listener of that port, and one that was closed with bytes
 * under way has no owner and is shown as root's.
 */
#include "access/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "ipc/tcp.h"

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

static void put_end(const struct sockaddr_storage *a, __be16 *port, __be32 addr[4])
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	memcpy(&six, a, sizeof(six));
	memcpy(&four, a, sizeof(four));
	if (a->ss_family == AF_INET6) {
		*port = six.sin6_port;
		memcpy(addr, &six.sin6_addr, sizeof(six.sin6_addr));
	} else {
		*port = four.sin_port;
		addr[0] = four.sin_addr.s_addr;
	}
}

static int ask(const struct question *q, struct inet_diag_msg *ret)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_msg msg;
		char more[512];
	} answer;
	hp_autoclose int nl = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n;

	/* The answer is there when the question has been sent. */
	if (nl < 0 || send(nl, q, sizeof(*q), 0) < 0)
		return -errno;
	n = recv(nl, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer.head) + sizeof(answer.msg) ||
	    answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -ENOENT;
	*ret = answer.msg;
	return 0;
}

static bool find_user(const struct sockaddr_storage *self, const struct sockaddr_storage *other,
		      uid_t *ret)
{
	struct question q = {
		.head = {.nlmsg_len = sizeof(q),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.req = {.sdiag_family = (uint8_t)self->ss_family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
			.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
	};
	struct inet_diag_sockid *id = &q.req.id;
	struct inet_diag_msg msg;

	put_end(other, &id->idiag_sport, id->idiag_src);
	put_end(self, &id->idiag_dport, id->idiag_dst);
	if (ask(&q, &msg) < 0)
		return false;
	if (msg.id.idiag_sport != id->idiag_sport || msg.id.idiag_dport != id->idiag_dport ||
	    memcmp(msg.id.idiag_src, id->idiag_src, sizeof(id->idiag_src)) != 0 ||
	    memcmp(msg.id.idiag_dst, id->idiag_dst, sizeof(id->idiag_dst)) != 0 ||
	    !msg.idiag_inode)
		return false;
	*ret = msg.idiag_uid;
	return true;
}

/* Whether @fd was accepted by @listener: it has that one's port for its own. */
static bool is_accepted(const struct sockaddr_storage *self, int fd, int listener)
{
	struct sockaddr_storage heard = {0};
	__be32 unused[4] = {0};
	__be16 own = 0, its = 0;
	socklen_t n = sizeof(heard), n_v = sizeof(int);
	int type, listens;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_v) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n_v) < 0 || listens ||
	    getsockname(listener, (struct sockaddr *)&heard, &n) < 0 ||
	    self->ss_family != heard.ss_family)
		return false;
	put_end(self, &own, unused);
	put_end(&heard, &its, unused);
	return own == its;
}

int hp_peer_read_tcp(int fd, int listener, struct hp_peer *ret, struct hp_err *err)
{
	struct sockaddr_storage self = {0}, other = {0};
	socklen_t n_self = sizeof(self), n_other = sizeof(other);

	if (getsockname(fd, (struct sockaddr *)&self, &n_self) < 0 ||
	    !is_accepted(&self, fd, listener))
		return hp_err_set(err, -HP_E_DENIED, "front brings no connection of a client's");
	if (getpeername(fd, (struct sockaddr *)&other, &n_other) < 0)
		return hp_err_set(err, -HP_E_GONE, "the client has left");
	*ret = (struct hp_peer){.uid = (uid_t)-1};
	hp_tcp_show(&other, ret->name, sizeof(ret->name));
	ret->known = find_user(&self, &other, &ret->uid);
	return 0;
}
