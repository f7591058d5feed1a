/* SPDX-License-Identifier: MIT */
#include "restart/options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

static const struct {
	const char *name;
	int level, option;
} options[] = {
	{"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT},
	{"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE},
	{"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF},
	{"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF},
	{"SO_MARK", SOL_SOCKET, SO_MARK},
	{"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY},
	{"SO_PASSCRED", SOL_SOCKET, SO_PASSCRED},
	{"TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT},
	{"TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN},
	{"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY},
	{"TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG},
	{"IP_TRANSPARENT", IPPROTO_IP, IP_TRANSPARENT},
	{"IP_TOS", IPPROTO_IP, IP_TOS},
	{"IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS},
};

bool hp_options_differ(int asked, int handed, char *buf, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && used < n; i++) {
		int a = 0, b = 0;
		socklen_t an = sizeof(a), bn = sizeof(b);

		if (getsockopt(asked, options[i].level, options[i].option, &a, &an) ||
		    getsockopt(handed, options[i].level, options[i].option, &b, &bn) || a == b)
			continue;
		used += (size_t)snprintf(buf + used, n - used,
					 "%s%s is %d, not the %d that the new program sets",
					 used ? ", " : "", options[i].name, b, a);
	}
	return used != 0;
}
