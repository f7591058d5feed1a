/* SPDX-License-Identifier: MIT */
/* daemon/tcp.h – addresses as people write them, and listening there. */
#ifndef HP_DAEMON_TCP_H
#define HP_DAEMON_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct hp_err;

#define HP_TCP_ADDR_MAX 64

/* "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" (every address).  No name is looked up. */
int hp_tcp_parse(const char *text, struct sockaddr_storage *ret, bool *loopback,
		 struct hp_err *err);

/* Listens; @shown is the address with the port that it is.  (-HP_E_FAILED, errno) */
int hp_tcp_listen(const struct sockaddr_storage *addr, char *shown, size_t n, int *ret_fd,
		  struct hp_err *err);

void hp_tcp_show(const struct sockaddr_storage *addr, char *buf, size_t n);

#endif
