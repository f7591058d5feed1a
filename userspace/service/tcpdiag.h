/* SPDX-License-Identifier: MIT */
/*
 * service/tcpdiag.h – the TCP sockets of this network namespace, by sock_diag(7).
 *
 * The kernel walks only those that are asked for.  /proc/net/tcp has all of them, and under a load of
 * short connections ten thousands that wait to be forgotten.
 */
#ifndef HP_SERVICE_TCPDIAG_H
#define HP_SERVICE_TCPDIAG_H

#include <linux/inet_diag.h>
#include <stddef.h>
#include <stdint.h>

struct hp_tcp_ask {
	int family;
	uint16_t port;	 /* the local one, as in a sockaddr; 0: any */
	uint32_t states; /* HP_TCP_BIT()s */
	uint8_t ext;	 /* what is told beside: INET_DIAG_INFO, or 0 */
};

#define HP_TCP_BIT(state) (1u << (state))

/* Each of them is given to @take, with @n bytes of attributes behind, until that fails.  Its negative
 * code, or an errno of the kernel's. */
int hp_tcp_diag(const struct hp_tcp_ask *ask,
		int (*take)(void *arg, const struct inet_diag_msg *m, size_t n), void *arg);

#endif
