/* SPDX-License-Identifier: MIT */
/* The old process: it upgrades, or stops. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/notify.h"
#include "upgrade/upgrade.h"

/* As with sd_notify(3), nobody serves worse when it is not heard. */
static void tell(const struct hp_upgrade *u, const char *state)
{
	(void)hp_notify(u->notify, state);
}

/* Time to exit, for ever. */
static void raise_exit(struct hp_upgrade *u, enum hp_upgrade_state state)
{
	static const uint64_t one = 1;

	u->state = state;
	(void)hp_write_all(u->exit, &one, sizeof(one)); /* the first and only write to it */
}

/* --- an upgrade's beginning and end ------------------------------------------------------------------- */

static int may_begin(struct hp_upgrade *u, struct hp_err *err)
{
	if (u->state == HP_UPGRADE_STOPPED)
		return hp_err_set(err, -ECANCELED, "terminating");
	if (u->state == HP_UPGRADE_UPGRADED)
		return hp_err_set(err, -EALREADY, "already upgraded");
	if (u->child.pid)
		return hp_err_set(err, -EINPROGRESS, "upgrade in progress");
	if (!u->ready)
		return hp_err_set(err, -EAGAIN, "process is not ready yet");
	if (!u->options.generations && hp_upgrade_parent_lives(u))
		return hp_err_set(err, -EBUSY, "parent hasn't exited");
	return 0;
}

static int begin_locked(struct hp_upgrade *u, bool waits, struct hp_err *err)
{
	struct epoll_event e = {.events = EPOLLIN};
	char state[64];
	int k = may_begin(u, err);

	if (k < 0)
		return k;
	/* Type=notify-reload wants the time with it. */
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)(hp_now_ns() / HP_US));
	tell(u, state);
	k = hp_child_begin(&u->child, &u->fds, u->cwd, u->argv, &u->mask, u->options.timeout_ms,
			     err);
	u->child_waits = waits;
	if (k == 0 && !waits && epoll_ctl(u->events, EPOLL_CTL_ADD, u->child.events, &e) < 0) {
		k = hp_err_sys(err, errno, "can't start child: epoll");
		hp_child_end(&u->child);
	}
	if (k < 0)
		tell(u, "READY=1");
	return k;
}

static void succeeded(struct hp_upgrade *u, pid_t successor)
{
	char state[64];

	snprintf(state, sizeof(state), "READY=1\nMAINPID=%d", (int)successor);
	tell(u, state);
	hp_fds_close_used(&u->fds, false);
	raise_exit(u, HP_UPGRADE_UPGRADED);
}

/* The new process may have written its pid before it failed. */
static void failed(struct hp_upgrade *u)
{
	if (u->state != HP_UPGRADE_SERVING)
		return;
	(void)hp_upgrade_write_pid(u, NULL); /* the upgrade's failure is what is told */
	tell(u, "READY=1");
}

/* 1: upgraded.  0: not yet.  Negative: failed. */
static int step_locked(struct hp_upgrade *u, struct hp_err *err)
{
	pid_t pid = u->child.pid;
	int k;

	if (u->state == HP_UPGRADE_STOPPED && !u->child.given_up)
		hp_child_give_up(&u->child, -ECANCELED);
	k = hp_child_step(&u->child, &u->successor, err);
	if (k > 0)
		succeeded(u, pid);
	else if (k < 0)
		failed(u);
	return k;
}

int hp_upgrade_begin(struct hp_upgrade *u, struct hp_err *err)
{
	int k;

	pthread_mutex_lock(&u->lock);
	k = begin_locked(u, false, err);
	pthread_mutex_unlock(&u->lock);
	return k;
}

int hp_upgrade_now(struct hp_upgrade *u, struct hp_err *err)
{
	struct pollfd p[2] = {{.events = POLLIN}, {.fd = u->exit, .events = POLLIN}};
	int k;

	pthread_mutex_lock(&u->lock);
	k = begin_locked(u, true, err);
	while (k == 0) {
		/* Only this thread ends it, so its descriptor stays.  Once stopped, the
		 * event would be there for ever: only the new process's end is waited for. */
		nfds_t n = u->child.given_up ? 1 : 2;

		p[0].fd = u->child.events;
		pthread_mutex_unlock(&u->lock);
		(void)poll(p, n, -1); /* EINTR: it is looked at for nothing */
		pthread_mutex_lock(&u->lock);
		k = step_locked(u, err);
	}
	pthread_mutex_unlock(&u->lock);
	return k < 0 ? k : 0;
}

/* --- events ----------------------------------------------------------------------------------------- */

static void stop_locked(struct hp_upgrade *u)
{
	if (u->state != HP_UPGRADE_SERVING)
		return;
	if (u->child.pid)
		hp_child_give_up(&u->child, -ECANCELED);
	tell(u, "STOPPING=1");
	hp_fds_close_used(&u->fds, true);
	raise_exit(u, HP_UPGRADE_STOPPED);
}

void hp_upgrade_stop(struct hp_upgrade *u)
{
	pthread_mutex_lock(&u->lock);
	stop_locked(u);
	pthread_mutex_unlock(&u->lock);
}

static int take_signal(struct hp_upgrade *u, struct hp_err *err)
{
	struct signalfd_siginfo s;

	if (u->signals < 0 || read(u->signals, &s, sizeof(s)) != sizeof(s))
		return 0;
	if (s.ssi_signo == SIGHUP)
		return begin_locked(u, false, err);
	stop_locked(u);
	return 0;
}

static int process_locked(struct hp_upgrade *u, struct hp_err *err)
{
	int k = take_signal(u, err);

	if (k == 0 && u->child.pid && !u->child_waits) {
		k = step_locked(u, err);
		/* Stopped meanwhile: that is what the caller hears. */
		if (k < 0 && u->state == HP_UPGRADE_STOPPED)
			k = 0;
	}
	if (k < 0)
		return k;
	return u->state != HP_UPGRADE_SERVING;
}

int hp_upgrade_process(struct hp_upgrade *u, struct hp_err *err)
{
	int k;

	pthread_mutex_lock(&u->lock);
	k = process_locked(u, err);
	pthread_mutex_unlock(&u->lock);
	return k;
}

int hp_upgrade_wait(struct hp_upgrade *u, struct hp_err *err)
{
	struct pollfd p = {.fd = u->events, .events = POLLIN};
	int k;

	while ((k = hp_upgrade_process(u, err)) == 0)
		(void)poll(&p, 1, -1); /* EINTR: it is looked at for nothing */
	return k < 0 ? k : 0;
}

int hp_upgrade_signals(struct hp_upgrade *u, struct hp_err *err)
{
	struct epoll_event e = {.events = EPOLLIN};
	hp_autoclose int fd = -1;
	sigset_t set;
	int k = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return hp_err_sys(err, errno, "signalfd");
	pthread_mutex_lock(&u->lock);
	if (u->signals >= 0)
		k = hp_err_set(err, -EEXIST, "signals are waited for already");
	else if (epoll_ctl(u->events, EPOLL_CTL_ADD, fd, &e) < 0)
		k = hp_err_sys(err, errno, "epoll");
	else
		u->signals = HP_TAKE_FD(fd);
	pthread_mutex_unlock(&u->lock);
	if (k == 0)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	return k;
}
