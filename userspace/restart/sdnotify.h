/* SPDX-License-Identifier: MIT */
/* restart/sdnotify.h – a socket for sd_notify(3): "READY=1". */
#ifndef HP_RESTART_SDNOTIFY_H
#define HP_RESTART_SDNOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Set in what hp starts, so that its NOTIFY_SOCKET is known as hp's in the next generation too. */
#define HP_NOTIFY_PREFIX "@hp-notify-"

struct hp_notify {
	int fd;
	char name[64]; /* for NOTIFY_SOCKET */
};

int hp_notify_open(struct hp_notify *ret);
void hp_notify_close(struct hp_notify *n);
bool hp_notify_is_ours(const char *name);

/* What was said since, without waiting. */
struct hp_notified {
	bool ready;
	pid_t main_pid; /* 0: not said */
};
/* Takes one message: 1, or 0 when there is none.  @from: who says it. */
int hp_notify_take(struct hp_notify *n, struct hp_notified *ret, pid_t *from);

#endif
