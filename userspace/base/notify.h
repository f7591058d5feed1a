/* SPDX-License-Identifier: MIT */
/* base/notify.h – sd_notify(3)'s protocol, both sides: lines of VARIABLE=value in one datagram.  A
 * socket's name is as $NOTIFY_SOCKET has it: a path, or "@" and an abstract name. */
#ifndef HP_BASE_NOTIFY_H
#define HP_BASE_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Sends @state to @to.  0, also when @to is NULL: nobody wants to know.  Else a negative errno. */
int hp_notify(const char *to, const char *state);
/* The same, as if @who said it.  Another pid takes CAP_SYS_ADMIN, other ids CAP_SETUID and CAP_SETGID. */
int hp_notify_as(const char *to, const struct ucred *who, const char *state);

#define HP_NOTIFY_MAX 4096

struct hp_notify_socket {
	int fd;
	char name[108]; /* sun_path's size */
};

/* Takes SIGALRM and its timer for itself.  -EINVAL: @name is none. */
int hp_notify_listen(struct hp_notify_socket *ret, const char *name);

struct hp_notified {
	bool ready;
	pid_t main_pid;	   /* 0: not said */
	struct ucred from; /* who says it */
	char text[HP_NOTIFY_MAX + 1];
};

/* Takes one message, without waiting.  False: there is none. */
bool hp_notify_take(struct hp_notify_socket *n, struct hp_notified *ret);

#endif
