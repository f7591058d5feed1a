/* SPDX-License-Identifier: MIT */
/* upgrade/fds.h – the descriptors that go from process to process, by name.  What came from the
 * parent is inherited until somebody takes it; what is used goes to the next process. */
#ifndef HP_UPGRADE_FDS_H
#define HP_UPGRADE_FDS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/array.h"
#include "hp/upgrade.h"

struct hp_handed {
	enum hp_upgrade_kind kind;
	char *network, *address;
	char *label;  /* systemd's name for it: then the socket is systemd's; or NULL */
	int fd;
};

struct hp_handed_list {
	HP_ARRAY(struct hp_handed) a;
};

struct hp_fds {
	pthread_mutex_t lock;
	struct hp_handed_list inherited, used;
};

int hp_fds_init(struct hp_fds *f);
/* Closes everything, and removes nothing. */
void hp_fds_free(struct hp_fds *f);

/* "listener", "packet", "conn", "fd". */
const char *hp_fds_kind_name(enum hp_upgrade_kind kind);

/* Copies the strings and takes @fd when it succeeds. -ENOMEM. */
int hp_handed_add(struct hp_handed_list *l, enum hp_upgrade_kind kind, const char *network,
		  const char *address, const char *label, int fd);

/* Closes the descriptor of the @i-th, unless it is -1, and takes it out. */
void hp_handed_remove(struct hp_handed_list *l, size_t i);

/* Closes what nobody took; their sockets in the file system are removed. */
void hp_fds_close_inherited(struct hp_fds *f);
/* Closes what is used; with @remove, removes their sockets in the file system. */
void hp_fds_close_used(struct hp_fds *f, bool remove);


#endif
