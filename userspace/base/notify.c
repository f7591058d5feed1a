/* SPDX-License-Identifier: MIT */
#include "base/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define MESSAGE_MAX 4096
#define FDS_MAX	    8

/* Its length, or -EINVAL. */
static int address_of(const char *name, struct sockaddr_un *ret)
{
	size_t n = strlen(name);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((name[0] != '/' && name[0] != '@') || n >= sizeof(ret->sun_path))
		return -EINVAL;
	memcpy(ret->sun_path, name, n);
	if (name[0] == '@')
		ret->sun_path[0] = 0;
	return (int)(offsetof(struct sockaddr_un, sun_path) + n);
}

int hp_notify(const char *to, const char *state)
{
	struct sockaddr_un a;
	hp_autoclose int fd = -1;
	int n;

	if (!to || !*to)
		return 0;
	n = address_of(to, &a);
	if (n < 0)
		return n;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a, (socklen_t)n) < 0)
		return -errno;
	return 0;
}

int hp_notify_listen(struct hp_notify_socket *ret, const char *name)
{
	hp_autoclose int fd = -1;
	struct sockaddr_un a;
	int on = 1, n = address_of(name, &a);

	if (n < 0)
		return n;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&a, (socklen_t)n))
		return -errno;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->fd = HP_TAKE_FD(fd);
	return 0;
}

static void read_lines(char *text, struct hp_notified *ret)
{
	char *line, *rest;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strcmp(line, "READY=1"))
			ret->ready = true;
		else if (!strncmp(line, "MAINPID=", 8))
			ret->main_pid = atoi(line + 8);
	}
}

/* FDSTORE, BARRIER: closing them is the answer to the latter. */
static void close_all(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fds[FDS_MAX];

	if (n > FDS_MAX)
		n = FDS_MAX;
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

bool hp_notify_take(struct hp_notify_socket *n, struct hp_notified *ret)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	char text[MESSAGE_MAX + 1];
	struct iovec iov = {text, MESSAGE_MAX};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	ssize_t got = recvmsg(n->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*ret = (struct hp_notified){0};
	if (got < 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			ret->from = ((struct ucred *)CMSG_DATA(c))->pid;
		if (c->cmsg_type == SCM_RIGHTS)
			close_all(c);
	}
	text[got] = 0;
	read_lines(text, ret);
	return true;
}
