/* SPDX-License-Identifier: MIT */
/* ipc/tcp.h – addresses as people write them, and listening there. */
#ifndef HP_IPC_TCP_H
#define HP_IPC_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct hp_err;

#define HP_TCP_ADDR_MAX 64

/* "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" (every address).  No name is looked up. */
int hp_tcp_parse(const char *text, struct sockaddr_storage *ret, struct hp_err *err);
/* No other machine reaches it. */
bool hp_tcp_is_loopback(const struct sockaddr_storage *addr);

/* Listens; @shown is the address with the port that it is.  A negative errno. */
int hp_tcp_listen(const struct sockaddr_storage *addr, char *shown, size_t n, int *ret_fd,
		  struct hp_err *err);

/* An address as members of a record: @addr of 4 or of 16 bytes, @port in network order. */
struct hp_record;
void hp_tcp_put(const struct sockaddr_storage *from, struct hp_record *to);
void hp_tcp_get(const struct hp_record *from, struct sockaddr_storage *to);

void hp_tcp_show(const struct sockaddr_storage *addr, char *buf, size_t n);

#endif
