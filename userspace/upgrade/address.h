/* SPDX-License-Identifier: MIT */
/* upgrade/address.h – networks and addresses as people write them, and sockets for them. */
#ifndef HP_UPGRADE_ADDRESS_H
#define HP_UPGRADE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "hp/upgrade.h"

/* The system chooses the address at bind(2): a port 0, or no name at all for a unix socket. */
bool hp_address_is_dynamic(const char *network, const char *address);
/* The address may be a file: one of the unix networks, not abstract. */
bool hp_address_is_path(const char *network, const char *address);

/* A new socket, bound; listening if @kind is HP_UPGRADE_LISTENER. */
int hp_address_listen(const struct hp_upgrade_options *o, enum hp_upgrade_kind kind,
		      const char *network, const char *address, struct hp_err *err);

/* What getsockname(2) says, in the notation of hp_address_listen(). */
int hp_address_format(int fd, char *ret, size_t size, struct hp_err *err);

/* Is @fd what hp_address_listen() would make? */
bool hp_address_matches(int fd, enum hp_upgrade_kind kind, const char *network, const char *address);

/* A socket that listens: what SO_ACCEPTCONN says. */
bool hp_address_listens(int fd);

#endif
