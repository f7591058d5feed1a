/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static void bad(const char *text)
{
	fprintf(stderr, "no address: %s\n", text);
	exit(2);
}

static void parse_unix(struct net_addr *a, const char *name)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
	size_t n = strlen(name);

	if (n >= sizeof(un->sun_path))
		bad(name);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, n + 1);
	a->family = AF_UNIX;
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (*name == '@') {
		un->sun_path[0] = 0;
	} else {
		a->path = name;
		a->len++;
	}
}

static void parse_inet(struct net_addr *a, const char *text)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	const char *colon = strrchr(text, ':');
	char host[64] = "";
	int ok;

	if (!colon)
		bad(text);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (a->family == AF_INET) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(colon + 1));
		ok = inet_pton(AF_INET, host, &in->sin_addr);
		a->len = sizeof(*in);
	} else {
		host[strcspn(host, "]")] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(colon + 1));
		ok = inet_pton(AF_INET6, host + (*host == '['), &in6->sin6_addr);
		a->len = sizeof(*in6);
	}
	if (ok != 1)
		bad(text);
}

struct net_addr net_parse(const char *text)
{
	static const struct {
		const char *word;
		int family, type;
	} kinds[] = {{"tcp:", AF_INET, SOCK_STREAM},  {"tcp6:", AF_INET6, SOCK_STREAM},
		     {"udp:", AF_INET, SOCK_DGRAM},   {"udp6:", AF_INET6, SOCK_DGRAM},
		     {"unix:", AF_UNIX, SOCK_STREAM}};
	struct net_addr a = {0};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].word);

		if (strncmp(text, kinds[i].word, n) != 0)
			continue;
		a.family = kinds[i].family;
		a.type = kinds[i].type;
		if (a.family == AF_UNIX)
			parse_unix(&a, text + n);
		else
			parse_inet(&a, text + n);
		return a;
	}
	bad(text);
	return a;
}
