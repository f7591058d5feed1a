/* SPDX-License-Identifier: MIT */
#include "service/tcpdiag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"

#define BATCH (32u << 10)

static int ask_for(int sock, const struct hp_tcp_ask *ask)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} m = {
		.head = {.nlmsg_len = sizeof(m),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = (uint8_t)ask->family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = (uint8_t)(ask->ext ? 1 << (ask->ext - 1) : 0),
			.idiag_states = ask->states,
			.id = {.idiag_sport = ask->port}},
	};

	return send(sock, &m, sizeof(m), 0) < 0 ? -errno : 0;
}

/* 0: more comes; 1: that was all. */
static int take_batch(const char *buf, size_t n,
		      int (*take)(void *arg, const struct inet_diag_msg *m, size_t n), void *arg)
{
	int r = 0;

	for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; r == 0 && NLMSG_OK(h, n);
	     h = NLMSG_NEXT(h, n)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EIO;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*m)))
			r = take(arg, m, h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	}
	return r;
}

int hp_tcp_diag(const struct hp_tcp_ask *ask,
		int (*take)(void *arg, const struct inet_diag_msg *m, size_t n), void *arg)
{
	static _Alignas(struct nlmsghdr) char buf[BATCH];
	hp_autoclose int sock = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	int r = sock < 0 ? -errno : ask_for(sock, ask);

	while (r == 0) {
		ssize_t n = recv(sock, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : take_batch(buf, (size_t)n, take, arg);
	}
	return r > 0 ? 0 : r;
}
