/* SPDX-License-Identifier: MIT */
/* The new process: it becomes ready, and sees its parent go. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/notify.h"
#include "upgrade/upgrade.h"

/* --- the pid file ----------------------------------------------------------------------------------- */

/* A file beside it, renamed: whoever reads sees the old or the new. */
static int write_file(char *temporary, const char *path, const char *text)
{
	hp_autoclose int fd = mkostemp(temporary, O_CLOEXEC);
	int k;

	if (fd < 0)
		return -errno;
	k = hp_write_all(fd, text, strlen(text));
	if (k == 0 && fchmod(fd, 0644) < 0)
		k = -errno;
	if (k == 0 && rename(temporary, path) < 0)
		k = -errno;
	if (k < 0)
		(void)unlink(temporary); /* the first failure is told */
	return k;
}

int hp_upgrade_write_pid(const struct hp_upgrade *u, struct hp_err *err)
{
	const char *path = u->options.pid_file;
	char *temporary, text[32];
	int k;

	if (!path)
		return 0;
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return hp_err_set(err, -ENOMEM, "no memory");
	k = write_file(temporary, path, text);
	free(temporary);
	return k < 0 ? hp_err_sys(err, -k, "can't write PID file: %s", path) : 0;
}

/* --- ready ------------------------------------------------------------------------------------------ */

/* systemd hears of a new main process from the old one, whose word it takes. */
static int tell(struct hp_upgrade *u, struct hp_err *err)
{
	static const char ready = HP_READY;

	if (!u->has_parent) {
		(void)hp_notify(u->notify, "READY=1"); /* as sd_notify(3): nobody serves worse for it */
		return 0;
	}
	if (u->parent < 0 || send(u->parent, &ready, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return hp_err_sys(err, u->parent < 0 ? EPIPE : errno,
				  "can't notify parent process");
	return 0;
}

int hp_upgrade_ready(struct hp_upgrade *u, struct hp_err *err)
{
	int k = 0;

	pthread_mutex_lock(&u->lock);
	if (!u->ready)
		hp_fds_close_inherited(&u->fds);
	u->ready = true;
	if (!u->told) {
		k = hp_upgrade_write_pid(u, err);
		if (k == 0)
			k = tell(u, err);
		u->told = k == 0;
	}
	pthread_mutex_unlock(&u->lock);
	return k;
}

/* --- the parent ------------------------------------------------------------------------------------- */

bool hp_upgrade_parent_lives(struct hp_upgrade *u)
{
	char bytes[64];
	ssize_t n;

	while (u->parent >= 0) {
		n = recv(u->parent, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n > 0)
			u->parent_result = -EBADMSG;
		else /* its end; a reset when it had not read everything */
			hp_close(&u->parent);
	}
	return false;
}

/* A duplicate to wait on, so that nobody closes it meanwhile; -1: the parent has gone. */
static int parent_to_wait_on(struct hp_upgrade *u)
{
	int fd = -1;

	pthread_mutex_lock(&u->lock);
	if (hp_upgrade_parent_lives(u)) {
		fd = fcntl(u->parent, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			fd = -errno;
	}
	pthread_mutex_unlock(&u->lock);
	return fd;
}

/* What is left until @deadline_ns in poll(2)'s milliseconds, rounded up. */
static int left_ms(int timeout_ms, uint64_t deadline_ns)
{
	uint64_t now = hp_now_ns();

	if (timeout_ms < 0)
		return -1;
	return now >= deadline_ns ? 0 : (int)((deadline_ns - now + HP_MS - 1) / HP_MS);
}

int hp_upgrade_wait_for_parent(struct hp_upgrade *u, int timeout_ms, struct hp_err *err)
{
	uint64_t deadline = hp_now_ns() + (timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * HP_MS);
	hp_autoclose int fd = parent_to_wait_on(u);
	int left;

	if (fd < -1)
		return hp_err_sys(err, -fd, "the parent's socket");
	while (fd >= 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		left = left_ms(timeout_ms, deadline);
		if (poll(&p, 1, left) == 0 || left == 0)
			return hp_err_set(err, -ETIMEDOUT, "the parent has not exited yet");
		hp_close(&fd);
		fd = parent_to_wait_on(u);
	}
	pthread_mutex_lock(&u->lock);
	left = u->parent_result;
	pthread_mutex_unlock(&u->lock);
	return left < 0 ? hp_err_set(err, left, "unexpected data from parent process") : 0;
}
