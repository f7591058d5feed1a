/* SPDX-License-Identifier: MIT */
/* restart/epollset.h – a program that puts its socket into an epoll before it binds. */
#ifndef HP_RESTART_EPOLLSET_H
#define HP_RESTART_EPOLLSET_H

#include <sys/types.h>

#include "service/fds.h"

/* What the epolls of @pid wait for at its descriptor @fd, the socket @ino.  0 or -ENOMEM. */
int hp_epollset_save(struct hp_interests *ret, pid_t pid, int fd, ino_t ino);

/* The same, in the process of @pidfd, for the socket that has taken its place: @sock, a duplicate of ours. */
int hp_epollset_restore(const struct hp_interests *saved, int pidfd, int fd, int sock);

#endif
