/* SPDX-License-Identifier: MIT */
#include "restart/notified.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "target/procfs.h"

struct notified {
	int fd;
	const struct seccomp_notif *n;
};

static bool still_waits(const struct hp_told_call *c)
{
	const struct notified *w = c->way;

	return ioctl(w->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &w->n->id) == 0;
}

static bool put(const struct hp_told_call *c, int from, int to, bool cloexec)
{
	const struct notified *w = c->way;
	struct seccomp_notif_addfd add = {
		.id = w->n->id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)from,
		.newfd = (uint32_t)to,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(w->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

void hp_notified_answer(struct hp_substitution *s, int notify_fd)
{
	struct seccomp_notif n = {0};
	struct seccomp_notif_resp answer = {0};
	struct notified way = {notify_fd, &n};
	struct hp_told_call c = {.waits = still_waits, .put = put, .way = &way};
	uint64_t process;

	if (ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &n))
		return; /* it was killed meanwhile */
	c.tid = (pid_t)n.pid;
	c.process = hp_status_number(c.tid, "Tgid", 10, &process) ? (pid_t)process : c.tid;
	c.nr = n.data.nr;
	memcpy(c.args, n.data.args, sizeof(c.args));
	answer.id = n.id;
	if (!hp_substitute(s, &c))
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	(void)ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* fails when it is gone */
}
