/* SPDX-License-Identifier: MIT */
/* net.h – addresses as words, for the servers and clients that restarts are tested with:
 * tcp:127.0.0.1:80, tcp6:[::1]:80, udp:…, udp6:…, unix:/path, unix:@name. */
#ifndef SVC_NET_H
#define SVC_NET_H

#include <stdbool.h>
#include <sys/socket.h>

struct net_addr {
	int family, type;
	struct sockaddr_storage sa;
	socklen_t len;
	const char *path; /* of a unix socket in the file system, else NULL */
};

/* Ends the program when it is none. */
struct net_addr net_parse(const char *text);

#endif
