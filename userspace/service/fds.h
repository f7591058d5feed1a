/* SPDX-License-Identifier: MIT */
/* service/fds.h – the descriptors of other processes, by what they are. */
#ifndef HP_SERVICE_FDS_H
#define HP_SERVICE_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum hp_fd_kind { HP_FD_SOCKET, HP_FD_EPOLL, HP_FD_URING };

struct hp_fd {
	int fd;
	enum hp_fd_kind kind;
	ino_t ino; /* of a socket */
};

struct hp_fd_list {
	struct hp_fd *v;
	size_t n, room;
};

/* The sockets, epolls and io_urings of @pid; none when it is gone.  Replaces what @ret held.
 * 0, -ENOMEM, or another negative errno when it may not be asked. */
int hp_fd_list_read(struct hp_fd_list *ret, pid_t pid);
void hp_fd_list_free(struct hp_fd_list *fds);

/* close-on-exec, by /proc/PID/fdinfo; false too when there is no such descriptor. */
bool hp_fd_is_cloexec(pid_t pid, int fd);

/* One thing that an epoll waits on. */
struct hp_interest {
	int epoll, fd;
	uint32_t events;
	uint64_t data;
	ino_t ino;
};

struct hp_interests {
	struct hp_interest *v;
	size_t n, room;
};

/* Those of all epolls of @pid, replacing what @ret held. */
int hp_interests_read(struct hp_interests *ret, pid_t pid);
void hp_interests_free(struct hp_interests *i);

#endif
