/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/kernel.h"

#define MAX_FDS 8

void hp_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd); /* Linux frees the number whatever it returns */
	*fd = -1;
	errno = saved;
}

bool hp_pidfd_lives(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

int hp_memfd(const char *name, unsigned flags)
{
	int fd = memfd_create(name, flags | MFD_CLOEXEC | HP_MFD_NOEXEC_SEAL);

	return fd >= 0 || errno != EINVAL ? fd : memfd_create(name, flags | MFD_CLOEXEC);
}

int hp_read_all(int fd, void *buf, size_t n)
{
	return hp_pread_all(fd, buf, n, -1);
}

int hp_write_all(int fd, const void *buf, size_t n)
{
	return hp_pwrite_all(fd, buf, n, -1);
}

int hp_pread_all(int fd, void *buf, size_t n, off_t off)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = off < 0 ? read(fd, (char *)buf + done, n - done)
				    : pread(fd, (char *)buf + done, n - done, off + (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ENODATA;
		done += (size_t)r;
	}
	return 0;
}

int hp_pwrite_all(int fd, const void *buf, size_t n, off_t off)
{
	size_t done = 0;

	while (done < n) {
		const char *p = (const char *)buf + done;
		ssize_t r = off < 0 ? write(fd, p, n - done)
				    : pwrite(fd, p, n - done, off + (off_t)done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0) /* /proc/PID/mem when the memory is gone */
			return -ENODATA;
		done += (size_t)r;
	}
	return 0;
}

int hp_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n)
{
	hp_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, room = 0;
	char *buf = NULL;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t r;

		if (room - n < 2) {
			size_t want = room ? room * 2 : 4096;
			char *bigger = realloc(buf, want);

			if (!bigger) {
				free(buf);
				return -ENOMEM;
			}
			buf = bigger;
			room = want;
		}
		r = read(fd, buf + n, room - n - 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			int e = errno;

			free(buf);
			return -e;
		}
		if (r == 0)
			break;
		n += (size_t)r;
		if (n > max) {
			free(buf);
			return -EFBIG;
		}
	}
	buf[n] = 0;
	*ret = buf;
	if (ret_n)
		*ret_n = n;
	return 0;
}

int hp_socketpair(int sv[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) ? -errno : 0;
}

union fd_control {
	struct cmsghdr align;
	char room[CMSG_SPACE(MAX_FDS * sizeof(int))];
};

static int send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds, int flags)
{
	union fd_control control = {0};
	struct iovec iov = {(void *)buf, n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	if (n_fds > MAX_FDS)
		return -E2BIG;
	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL | flags);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EMSGSIZE;
}

int hp_send_fds(int sock, const void *buf, size_t n, const int *fds, size_t n_fds)
{
	return send_fds(sock, buf, n, fds, n_fds, 0);
}

int hp_send_fds_now(int sock, const void *buf, size_t n, const int *fds, size_t n_fds)
{
	return send_fds(sock, buf, n, fds, n_fds, MSG_DONTWAIT);
}

int hp_recv_fds(int sock, void *buf, size_t n, int *fds, size_t *n_fds)
{
	union fd_control control;
	struct iovec iov = {buf, n};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	size_t room = n_fds ? *n_fds : 0, got = 0;
	ssize_t r;

	do
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t k;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < k; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (got < room)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	if (n_fds)
		*n_fds = got;
	if (r == (ssize_t)n && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	for (size_t i = 0; i < got; i++)
		close(fds[i]);
	if (n_fds)
		*n_fds = 0;
	return r == 0 ? -ECONNRESET : -EBADMSG;
}
