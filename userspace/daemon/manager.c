/* SPDX-License-Identifier: MIT */
#include "daemon/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "hp/err.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static const char *const variables[] = {"LISTEN_PID",	 "LISTEN_FDS",	  "LISTEN_FDNAMES",
					"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

/* A number in the environment; 0: there is none. */
static unsigned long long number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

static int take_socket(const char *path, int *ret, struct hp_err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNSPEC};
	socklen_t n = sizeof(a), n_on = sizeof(int);
	unsigned long long fds = number("LISTEN_FDS");
	int on = 0;

	*ret = -1;
	if (!fds || number("LISTEN_PID") != (unsigned long long)getpid())
		return 0;
	if (fds != 1)
		return hp_err_set(err, -HP_E_USAGE, "%llu sockets are handed over: hpd takes one",
				  fds);
	if (getsockname(FIRST_FD, (struct sockaddr *)&a, &n) < 0 ||
	    getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &on, &n_on) < 0)
		return hp_err_sys(err, errno, "the socket that is handed over");
	if (a.sun_family != AF_UNIX || !on || strncmp(a.sun_path, path, sizeof(a.sun_path)) != 0)
		return hp_err_set(err, -HP_E_USAGE,
				  "what is handed over is not the listening socket %s", path);
	if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) < 0)
		return hp_err_sys(err, errno, "the socket that is handed over");
	*ret = FIRST_FD;
	return 0;
}

int hp_manager_take(struct hp_manager *m, const char *path, struct hp_err *err)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	unsigned long long pid = number("WATCHDOG_PID");
	int k;

	*m = (struct hp_manager){.listen_fd = -1};
	if (notify && strlen(notify) < sizeof(m->notify))
		strncpy(m->notify, notify, sizeof(m->notify) - 1);
	if (!pid || pid == (unsigned long long)getpid())
		m->watchdog_ns = number("WATCHDOG_USEC") * 1000;
	k = take_socket(path, &m->listen_fd, err);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		(void)unsetenv(variables[i]); /* fails for no name that is one */
	return k;
}

static void say(const struct hp_manager *m, const char *state)
{
	int k = *m->notify ? hp_notify(m->notify, state) : 0;

	if (k < 0)
		hp_log(HP_LOG_WARNING, "the service manager does not hear %s: %s", state,
		       strerror(-k));
}

static void beat(struct hp_timer *t)
{
	struct hp_manager *m = (struct hp_manager *)((char *)t - offsetof(struct hp_manager, beat));

	say(m, "WATCHDOG=1");
	/* Twice in the span, as sd_watchdog_enabled(3) recommends. */
	hp_timer_set(m->ring, t, hp_now_ns() + m->watchdog_ns / 2);
}

void hp_manager_ready(struct hp_manager *m, struct hp_ring *ring)
{
	say(m, "READY=1");
	m->ring = ring;
	m->beat.fire = beat;
	if (m->watchdog_ns)
		beat(&m->beat);
}

void hp_manager_stopping(struct hp_manager *m)
{
	say(m, "STOPPING=1");
}
