/* SPDX-License-Identifier: MIT */
/* What front is told waits here until its socket takes it: the monitor waits for nobody. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "daemon/daemon.h"
#include "daemon/front_priv.h"

/* What it may leave unread before it is taken for hung. */
#define QUEUE_MAX (256ul << 20)

struct hp_packet {
	TAILQ_ENTRY(hp_packet) link;
	struct hp_tell_head head;
	int fd; /* beside it, or -1 */
	size_t n;
	char bytes[];
};

static void packet_free(struct hp_front *f, struct hp_packet *p)
{
	TAILQ_REMOVE(&f->queue, p, link);
	f->queued -= sizeof(*p) + p->n;
	hp_close(&p->fd);
	free(p);
}

static int send_packet(const struct hp_front *f, struct hp_packet *p)
{
	struct iovec v[] = {{&p->head, sizeof(p->head)}, {p->bytes, p->n}};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

	if (p->fd >= 0) {
		memcpy(CMSG_DATA(&c.head), &p->fd, sizeof(p->fd));
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
	}
	return sendmsg(f->sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void hp_front_drop_queue(struct hp_front *f)
{
	struct hp_packet *p;

	while ((p = TAILQ_FIRST(&f->queue)))
		packet_free(f, p);
}

void hp_front_flush(struct hp_front *f)
{
	struct hp_packet *p;

	while ((p = TAILQ_FIRST(&f->queue))) {
		int k = send_packet(f, p);

		if (k == -EAGAIN || k == -EINTR) {
			if (!f->room.armed && f->d->ring)
				hp_ring_poll_out(f->d->ring, &f->room, f->sock);
			return;
		}
		/* When it is gone its end is told by its pidfd. */
		packet_free(f, p);
	}
}

void hp_front_room_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, room));

	if (f->ended)
		hp_front_maybe_buried(f);
	else if (res >= 0)
		hp_front_flush(f);
}

void hp_front_queue(struct hp_front *f, const struct hp_tell_head *head, const void *bytes, size_t n,
		  int fd)
{
	struct hp_packet *p = f->sock >= 0 ? malloc(sizeof(*p) + n) : NULL;

	if (f->sock < 0)
		return;
	if (!p || f->queued + sizeof(*p) + n > QUEUE_MAX) {
		free(p);
		hp_front_kill(f, p ? "it does not read what it is told" : "no memory for an answer");
		return;
	}
	*p = (struct hp_packet){
		.head = *head, .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0), .n = n};
	memcpy(p->bytes, bytes, n);
	TAILQ_INSERT_TAIL(&f->queue, p, link);
	f->queued += sizeof(*p) + n;
}

void hp_front_tell(struct hp_front *f, const struct hp_tell_head *head, const void *bytes, size_t n)
{
	const char *at = bytes;

	do {
		size_t part = n < HP_TELL_BYTES ? n : HP_TELL_BYTES;
		struct hp_tell_head h = *head;

		n -= part;
		if (n)
			h.flags |= HP_TELL_MORE;
		hp_front_queue(f, &h, at, part, -1);
		at += part;
	} while (n);
	hp_front_flush(f);
}
