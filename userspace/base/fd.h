/* SPDX-License-Identifier: MIT */
/* base/fd.h – descriptors with a scope, whole reads and writes, passing them on. */
#ifndef HP_BASE_FD_H
#define HP_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_err;

/* Closes *fd if it is not negative, and makes it -1.  errno is kept. */
void hp_close(int *fd);

/* int fd with the scope's lifetime: hp_autoclose int fd = open(…); */
#define hp_autoclose __attribute__((cleanup(hp_close)))

/* Takes the descriptor out of a scope: the variable is -1 afterwards. */
#define HP_TAKE_FD(fd)                                                                             \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

/* Its process is there.  Not where there is no descriptor, or it cannot be asked. */
bool hp_pidfd_lives(int pidfd);

/* memfd_create(2), close-on-exec, of a file that nobody can execute: Linux 6.3 refuses any other where
 * vm.memfd_noexec is 2.  It can be mapped executable all the same. */
int hp_memfd(const char *name, unsigned flags);

/* All @n bytes, or a negative errno (-ENODATA at an early end). */
int hp_read_all(int fd, void *buf, size_t n);
int hp_write_all(int fd, const void *buf, size_t n);
int hp_pread_all(int fd, void *buf, size_t n, off_t off);
int hp_pwrite_all(int fd, const void *buf, size_t n, off_t off);

/* The whole of a file up to @max bytes, NUL-terminated, to be freed with
 * free().  -EFBIG when it is longer.  Meant for /proc files too. */
int hp_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n);

/* A connected SOCK_SEQPACKET pair, close-on-exec. */
int hp_socketpair(int sv[2]);

/* One record with at most @n_fds (≤ 8) descriptors beside it. */
int hp_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds);
/* The same where there is room for it: else -EAGAIN. */
int hp_send_fds_now(int sock, const void *buf, size_t n, const int *fds, size_t n_fds);

/* Receives one record of exactly @n bytes; *n_fds is the room on entry and the
 * number received on return; they are close-on-exec.  -ECONNRESET at the end
 * of the peer, -EBADMSG for a record of another size. */
int hp_recv_fds(int sock, void *buf, size_t n, int *fds, size_t *n_fds);

#endif
