/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/conn.h"
#include "front/frontend.h"
#include "hp/err.h"
#include "ipc/intake.h"

static struct hp_frontend *logged; /* hp_log() knows no argument */

static int send_packet(void *arg, const void *packet, size_t n)
{
	const struct hp_frontend *f = arg;
	int k = hp_send_fds(f->sock, packet, n, NULL, 0);

	/* Without it there is nothing to be done, and no one to tell. */
	if (k < 0)
		_exit(0);
	return 0;
}

void hp_monitor_say(struct hp_frontend *f, const struct hp_record *rec)
{
	(void)send_packet(f, rec, sizeof(*rec)); /* returns when it was sent */
}

int hp_monitor_ask(struct hp_conn *c, struct hp_record *rec, const struct hp_job_request *r,
		   struct hp_err *err)
{
	int k = 0;

	rec->conn = c->id;
	rec->listener = c->entrance->id;
	if (r) {
		rec->ask = HP_ASK_JOB;
		k = hp_record_put(rec, r, err);
	}
	if (k == 0)
		k = hp_intake_rehearse(rec, r, err);
	if (k < 0)
		return k;
	c->asked = true;
	if (hp_send_fds(c->f->sock, rec, sizeof(*rec), &c->fd, 1) < 0)
		_exit(0); /* as above */
	return r ? hp_record_items(rec, r, send_packet, c->f) : 0;
}

static void log_line(enum hp_log_level level, const char *line)
{
	struct hp_record rec = {.ask = HP_ASK_LOG, .n = level};

	snprintf(rec.file, sizeof(rec.file), "%s", *line ? line : "?");
	hp_monitor_say(logged, &rec);
}

void hp_monitor_log(struct hp_frontend *f)
{
	logged = f;
	hp_log_set_sink(log_line);
}

static void begin(struct hp_frontend *f, const void *bytes, size_t n)
{
	struct hp_tell_begin b;

	if (n != sizeof(b))
		return;
	memcpy(&b, bytes, n);
	f->client_timeout_ns = b.client_timeout_ns;
	f->answers_max = b.answers_max;
	hp_log_set_level((enum hp_log_level)b.log_level);
}

static void take(struct hp_frontend *f, const struct hp_tell_head *h, const char *bytes, size_t n,
		 int fd)
{
	struct hp_conn *c;

	switch ((enum hp_tell)h->tell) {
	case HP_TELL_BEGIN:
		begin(f, bytes, n);
		return;
	case HP_TELL_LISTEN:
		hp_frontend_listen(f, (uint32_t)h->conn, fd);
		return;
	case HP_TELL_UNLISTEN:
		hp_frontend_unlisten(f, (uint32_t)h->conn);
		return;
	case HP_TELL_STOP:
		hp_frontend_stop(f);
		return;
	case HP_TELL_REPLY:
	case HP_TELL_STREAM:
	case HP_TELL_LINE:
	case HP_TELL_LAST:
		c = hp_frontend_find(f, h->conn);
		if (c)
			hp_conn_told(c, h, bytes, n);
		return;
	}
}

int hp_monitor_hear(struct hp_frontend *f)
{
	static char bytes[HP_TELL_BYTES];
	struct hp_tell_head head;
	struct iovec v[] = {{&head, sizeof(head)}, {bytes, sizeof(bytes)}};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	struct msghdr m = {
		.msg_iov = v, .msg_iovlen = 2, .msg_control = &c, .msg_controllen = sizeof(c)};
	ssize_t n = recvmsg(f->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	int fd = -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)sizeof(head))
		return -HP_E_UNREACHABLE;
	if (h && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	take(f, &head, bytes, (size_t)n - sizeof(head), fd);
	return 1;
}
