/* SPDX-License-Identifier: MIT */
#include "target/give.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "target/threads.h"

/* What recvmsg(2) needs. */
struct receive {
	struct msghdr msg;
	struct iovec iov;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
	uint8_t byte;
};
_Static_assert(sizeof(struct receive) <= HP_GIVE_ROOM, "fits its room");

static int failed(const struct hp_drive *by, int64_t r, const char *what, struct hp_err *err)
{
	if (r == -HP_E_GONE)
		return hp_err_set(err, -HP_E_GONE, "thread %d ended", (int)by->tid);
	return hp_err_sys(err, (int)-r, "%s in thread %d", what, (int)by->tid);
}

/* The memory of a thread that stands still for us.  Opened first and asked for afterwards: one that
 * another thread's execve(2) has ended is not ours any more, and its number may be that one's. */
static int open_memory(const struct hp_drive *by, struct hp_err *err)
{
	struct user_regs_struct regs;
	hp_autoclose int fd = -1;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)by->tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return hp_err_sys(err, errno, "the memory of thread %d", (int)by->tid);
	if (hp_thread_regs(by->tid, &regs) < 0)
		return hp_err_set(err, -HP_E_GONE, "thread %d ended", (int)by->tid);
	return HP_TAKE_FD(fd);
}

static int read_room(const struct hp_give *g, const struct hp_drive *by, int mem, void *to, size_t n,
		     struct hp_err *err)
{
	int r = hp_pread_all(mem, to, n, (off_t)g->room);

	return r < 0 ? hp_err_sys(err, -r, "reading the memory of thread %d", (int)by->tid) : 0;
}

static int64_t close_there(struct hp_drive *by, int fd)
{
	return hp_drive_syscall(by, SYS_close, (const uint64_t[6]){(uint64_t)fd});
}

static int take_end(const struct hp_give *g, const struct hp_drive *by, int end, struct hp_err *err)
{
	hp_autoclose int pidfd = pidfd_open(g->process, 0);
	int sock = pidfd < 0 ? -1 : pidfd_getfd(pidfd, end, 0);

	return sock < 0 ? hp_err_sys(err, errno, "taking a socket of thread %d", (int)by->tid) : sock;
}

/* It keeps one end, and none when anything fails. */
static int open_pair(struct hp_give *g, struct hp_drive *by, int mem, struct hp_err *err)
{
	const uint64_t args[6] = {AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, g->room};
	int64_t n = hp_drive_syscall(by, SYS_socketpair, args);
	int pair[2], r;

	if (n < 0)
		return failed(by, n, "socketpair", err);
	r = read_room(g, by, mem, pair, sizeof(pair), err);
	if (r < 0)
		return r;
	hp_autoclose int sock = take_end(g, by, pair[1], err);
	n = close_there(by, pair[1]);
	r = sock < 0 ? sock : n < 0 ? failed(by, n, "close", err) : 0;
	if (r < 0) {
		(void)close_there(by, pair[0]); /* the first failure is the one to be told */
		return r;
	}
	g->peer = pair[0];
	g->sock = HP_TAKE_FD(sock);
	return 0;
}

static int receive(struct hp_give *g, struct hp_drive *by, int mem, struct hp_err *err)
{
	const uint64_t args[6] = {(uint64_t)g->peer, g->room, MSG_CMSG_CLOEXEC | MSG_DONTWAIT};
	struct receive m = {0};
	struct cmsghdr c;
	int64_t n;
	int r, fd;

	m.msg.msg_iov = (void *)(uintptr_t)(g->room + offsetof(struct receive, iov));
	m.msg.msg_iovlen = 1;
	m.msg.msg_control = (void *)(uintptr_t)(g->room + offsetof(struct receive, control));
	m.msg.msg_controllen = sizeof(m.control);
	m.iov.iov_base = (void *)(uintptr_t)(g->room + offsetof(struct receive, byte));
	m.iov.iov_len = 1;
	r = hp_pwrite_all(mem, &m, sizeof(m), (off_t)g->room);
	if (r < 0)
		return hp_err_sys(err, -r, "writing the memory of thread %d", (int)by->tid);
	n = hp_drive_syscall(by, SYS_recvmsg, args);
	if (n < 0)
		return failed(by, n, "recvmsg", err);
	r = read_room(g, by, mem, &m, sizeof(m), err);
	if (r < 0)
		return r;
	memcpy(&c, m.control, sizeof(c));
	if (c.cmsg_len != CMSG_LEN(sizeof(int)))
		return hp_err_set(err, -HP_E_FAILED, "thread %d received no descriptor",
				  (int)by->tid);
	memcpy(&fd, m.control + CMSG_LEN(0), sizeof(fd));
	return fd;
}

int hp_give_fd(struct hp_give *g, struct hp_drive *by, int fd, struct hp_err *err)
{
	hp_autoclose int mem = open_memory(by, err);
	const uint8_t byte = 0;
	int r = mem < 0 ? mem : g->sock < 0 ? open_pair(g, by, mem, err) : 0;

	if (r < 0)
		return r;
	/* What was taken for its end of the pair may be what the target had put there: it may be full. */
	r = hp_send_fds_now(g->sock, &byte, sizeof(byte), &fd, 1);
	if (r < 0)
		return hp_err_sys(err, -r, "sending a descriptor to thread %d", (int)by->tid);
	return receive(g, by, mem, err);
}

int hp_give_end(struct hp_give *g, struct hp_drive *by)
{
	int64_t r = g->sock < 0 ? 0 : close_there(by, g->peer);

	hp_close(&g->sock);
	return r == -HP_E_GONE ? -HP_E_GONE : 0;
}
