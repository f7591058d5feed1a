/* SPDX-License-Identifier: MIT */
#include "base/notify.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define PATIENCE_US 1000

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

/* The kernel puts the sender's credentials in, where we do not. */
static void add_sender(struct msghdr *msg, void *room, size_t n, const struct ucred *who)
{
	struct cmsghdr *c;

	msg->msg_control = room;
	msg->msg_controllen = n;
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(*who));
	memcpy(CMSG_DATA(c), who, sizeof(*who));
}

int hp_notify_as(const char *to, const struct ucred *who, const char *state)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control = {.room = ""};
	struct iovec iov = {(void *)(uintptr_t)state, strlen(state)}; /* is only read */
	struct sockaddr_un a;
	struct msghdr msg = {.msg_name = &a, .msg_iov = &iov, .msg_iovlen = 1};
	hp_autoclose int fd = -1;
	int n;

	if (!to || !*to)
		return 0;
	n = address_of(to, &a);
	if (n < 0)
		return n;
	msg.msg_namelen = (socklen_t)n;
	if (who)
		add_sender(&msg, control.room, sizeof(control.room), who);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int hp_notify(const char *to, const char *state)
{
	return hp_notify_as(to, NULL, state);
}

static void wake(int sig)
{
	(void)sig;
}

/* SIGALRM ends waits, again and again. */
static void interrupt_waits(bool on)
{
	const struct timeval each = {.tv_usec = on ? PATIENCE_US : 0};
	const struct itimerval timer = {each, each};

	(void)setitimer(ITIMER_REAL, &timer, NULL); /* cannot fail */
}

int hp_notify_listen(struct hp_notify_socket *ret, const char *name)
{
	const struct sigaction interrupts = {.sa_handler = wake};
	hp_autoclose int fd = -1;
	struct sockaddr_un a;
	int on = 1, n = address_of(name, &a);

	if (n < 0)
		return n;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sigaction(SIGALRM, &interrupts, NULL) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&a, (socklen_t)n))
		return -errno;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->fd = HP_TAKE_FD(fd);
	return 0;
}

static bool is_line(const char *text, const char *wanted, size_t n)
{
	return n == strlen(wanted) && !strncmp(text, wanted, n);
}

static void read_lines(struct hp_notified *ret)
{
	for (const char *line = ret->text; *line;) {
		size_t n = strcspn(line, "\n");

		if (is_line(line, "READY=1", n))
			ret->ready = true;
		else if (!strncmp(line, "MAINPID=", 8))
			ret->main_pid = atoi(line + 8);
		line += n + (line[n] == '\n');
	}
}

/* There is no room for descriptors (FDSTORE, BARRIER), so that the kernel lets them go, which is the
 * answer to the latter.  To close one is to wait for whoever keeps that file: its sender may.  And when
 * the last of a connection goes, we wait for what it has sent as long as its sender said (SO_LINGER),
 * or until a signal comes. */
bool hp_notify_take(struct hp_notify_socket *n, struct hp_notified *ret)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {ret->text, HP_NOTIFY_MAX};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.room,
			     .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c;
	ssize_t got;

	*ret = (struct hp_notified){0};
	interrupt_waits(true);
	got = recvmsg(n->fd, &msg, MSG_DONTWAIT);
	interrupt_waits(false);
	if (got < 0)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&ret->from, CMSG_DATA(c), sizeof(ret->from));
	ret->text[got] = 0;
	read_lines(ret);
	return true;
}
