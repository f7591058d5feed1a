/* SPDX-License-Identifier: MIT */
#include "restart/sdnotify.h"

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

int hp_notify_open(struct hp_notify *ret)
{
	hp_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int on = 1, n;

	if (fd < 0)
		return -errno;
	n = snprintf(ret->name, sizeof(ret->name), "%s%d", HP_NOTIFY_PREFIX, (int)getpid());
	memcpy(un.sun_path + 1, ret->name + 1, (size_t)n - 1); /* '@' stands for the first, a NUL */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&un,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)))
		return -errno;
	ret->fd = HP_TAKE_FD(fd);
	return 0;
}

void hp_notify_close(struct hp_notify *n)
{
	hp_close(&n->fd);
}

bool hp_notify_is_ours(const char *name)
{
	return !strncmp(name, HP_NOTIFY_PREFIX, strlen(HP_NOTIFY_PREFIX));
}

/* Lines of NAME=VALUE. */
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

int hp_notify_take(struct hp_notify *n, struct hp_notified *ret, pid_t *from)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(8 * sizeof(int))];
	} control;
	char text[MESSAGE_MAX + 1];
	struct iovec iov = {text, MESSAGE_MAX};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	ssize_t got = recvmsg(n->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*ret = (struct hp_notified){0};
	*from = 0;
	if (got < 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		int fds[8];
		size_t k;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			*from = ((struct ucred *)CMSG_DATA(c))->pid;
		/* FDSTORE, BARRIER: closing them is the answer to the latter. */
		k = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
		memcpy(fds, CMSG_DATA(c), (k < 8 ? k : 8) * sizeof(int));
		for (size_t i = 0; i < k && i < 8; i++)
			close(fds[i]);
	}
	text[got] = 0;
	read_lines(text, ret);
	return 1;
}
