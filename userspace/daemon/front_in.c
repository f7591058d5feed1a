/* SPDX-License-Identifier: MIT */
/* What front says: checked by ipc/intake.h, then carried out. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/front_priv.h"
#include "daemon/requests.h"
#include "hp/err.h"

static void take_log(struct hp_front *f)
{
	char *text = f->intake.rec.file;

	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	snprintf(f->last_words, sizeof(f->last_words), "%.255s", text);
	hp_log((enum hp_log_level)f->intake.rec.n, "front: %.500s", text);
}

/* A request is whole. */
static int carry_out(struct hp_front *f, struct hp_err *err)
{
	const struct hp_record *rec = &f->intake.rec;
	struct hp_job_request req = f->intake.req;
	struct hp_client *c;

	f->intake.req = (struct hp_job_request){0};
	switch ((enum hp_ask)rec->ask) {
	case HP_ASK_HELLO:
		hp_daemon_fronted(f->d);
		return 0;
	case HP_ASK_LOG:
		take_log(f);
		return 0;
	case HP_ASK_COUNT:
		hp_daemon_count(f->d, rec->listener, rec->n);
		return 0;
	case HP_ASK_LOST:
		hp_metrics_add(f->d, HP_COUNT_LOST, rec->n);
		return 0;
	case HP_ASK_GONE:
		c = hp_client_find(f->d, rec->conn);
		if (c) /* or the answer was faster */
			hp_client_leave(c);
		return 0;
	default:
		return hp_request_take(f->d, rec, &req, HP_TAKE_FD(f->client_fd), err);
	}
}

int hp_front_hear(struct hp_front *f, struct hp_err *err)
{
	static union {
		struct hp_record record;
		struct hp_item item;
		char room[sizeof(struct hp_record) + 1];
	} packet;
	int fds[2], k;
	struct iovec v = {&packet, sizeof(packet)};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(fds))];
	} c;
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	ssize_t n = recvmsg(f->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	size_t n_fds = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET
			       ? 0
			       : hp_err_sys(err, errno, "hear front");
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
		n_fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(h), n_fds * sizeof(int));
	}
	if (n == 0 && n_fds == 0)
		return 0; /* its end */
	k = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
		    ? hp_err_set(err, -HP_E_DENIED, "it is too long")
		    : hp_intake_take(&f->intake, &packet, (size_t)n, n_fds, err);
	if (k == -HP_E_DENIED)
		k = hp_err_prefix(err, k, "front says what it may not");
	if (k >= 0 && n_fds == 1)
		f->client_fd = HP_TAKE_FD(fds[0]);
	for (size_t i = 0; i < n_fds; i++)
		hp_close(&fds[i]);
	if (k == 1)
		k = carry_out(f, err);
	return k < 0 ? k : 1;
}

void hp_front_heard_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, heard));
	struct hp_err err;
	int k = 1;

	if (f->ended) {
		hp_front_maybe_buried(f);
		return;
	}
	/* In turns, so that one who talks without a pause keeps nobody else waiting. */
	for (int i = 0; i < 64 && k == 1 && !f->distrusted; i++)
		k = hp_front_hear(f, &err);
	if (k < 0)
		hp_front_kill(f, err.text);
	if (f->distrusted)
		return;
	if (res >= 0 && !(res & (POLLHUP | POLLERR)))
		hp_ring_poll(f->d->ring, op, f->sock);
	else /* it has closed its end: it ends, or is of no use */
		(void)pidfd_send_signal(f->pidfd, SIGKILL, NULL, 0);
}
