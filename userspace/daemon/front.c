/* SPDX-License-Identifier: MIT */
#include "daemon/front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/requests.h"
#include "daemon/serve.h"
#include "hp/err.h"

/* What it may leave unread before it is taken for hung. */
#define QUEUE_MAX (256ul << 20)
/* One that ends so soon is not started again at once. */
#define SOON_NS (200 * HP_MS)

struct hp_packet {
	TAILQ_ENTRY(hp_packet) link;
	struct hp_tell_head head;
	int fd; /* beside it, or -1 */
	size_t n;
	char bytes[];
};

/* --- to front ------------------------------------------------------------------------------------ */

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

/* What the socket takes now. */
static void flush(struct hp_front *f)
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

static void maybe_buried(struct hp_front *f);

static void room_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, room));

	if (f->ended)
		maybe_buried(f);
	else if (res >= 0)
		flush(f);
}

static void kill_front(struct hp_front *f, const char *why)
{
	if (f->pidfd < 0)
		return;
	f->distrusted = true;
	hp_log(HP_LOG_ERROR, "front (process %d) is killed: %s", f->pid, why);
	(void)pidfd_send_signal(f->pidfd, SIGKILL, NULL, 0); /* or it is dead */
}

static void queue(struct hp_front *f, const struct hp_tell_head *head, const void *bytes, size_t n,
		  int fd)
{
	struct hp_packet *p = f->sock >= 0 ? malloc(sizeof(*p) + n) : NULL;

	if (f->sock < 0)
		return;
	if (!p || f->queued + sizeof(*p) + n > QUEUE_MAX) {
		free(p);
		kill_front(f, p ? "it does not read what it is told" : "no memory for an answer");
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
		queue(f, &h, at, part, -1);
		at += part;
	} while (n);
	flush(f);
}

static void tell_listen(struct hp_front *f, uint32_t listener, int fd)
{
	const struct hp_tell_head head = {.tell = HP_TELL_LISTEN, .conn = listener};

	queue(f, &head, "", 0, fd);
	flush(f);
}

/* --- from front ---------------------------------------------------------------------------------- */

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

/* 1: a packet was taken; 0: there is none. */
static int hear(struct hp_front *f, struct hp_err *err)
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
		    ? hp_err_set(err, -HP_E_DENIED, "front says what it may not: it is too long")
		    : hp_intake_take(&f->intake, &packet, (size_t)n, n_fds, err);
	if (k >= 0 && n_fds == 1)
		f->client_fd = HP_TAKE_FD(fds[0]);
	for (size_t i = 0; i < n_fds; i++)
		hp_close(&fds[i]);
	if (k == 1)
		k = carry_out(f, err);
	return k < 0 ? k : 1;
}

static void heard_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, heard));
	struct hp_err err;
	int k = 1;

	if (f->ended) {
		maybe_buried(f);
		return;
	}
	/* In turns, so that one who talks without a pause keeps nobody else waiting. */
	for (int i = 0; i < 64 && k == 1 && !f->distrusted; i++)
		k = hear(f, &err);
	if (k < 0)
		kill_front(f, err.text);
	if (f->distrusted)
		return;
	if (res >= 0 && !(res & (POLLHUP | POLLERR)))
		hp_ring_poll(f->d->ring, op, f->sock);
	else /* it has closed its end: it ends, or is of no use */
		(void)pidfd_send_signal(f->pidfd, SIGKILL, NULL, 0);
}

/* --- its life ------------------------------------------------------------------------------------ */

static _Noreturn void become(const char *program, int sock)
{
	char *const argv[] = {"hpd-front", NULL};
	char *const env[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sock == HP_FRONT_SOCKET ? fcntl(sock, F_SETFD, 0) == 0
				    : dup2(sock, HP_FRONT_SOCKET) == HP_FRONT_SOCKET)
		execve(program, argv, env);
	dprintf(STDERR_FILENO, "hpd: %s: %s\n", program, strerror(errno));
	_exit(127);
}

static int spawn(struct hp_front *f, struct hp_err *err)
{
	const struct hp_tell_begin begin = {.client_timeout_ns = f->d->opt.client_timeout_ns,
					    .log_level = hp_log_level()};
	const struct hp_tell_head head = {.tell = HP_TELL_BEGIN};
	hp_autoclose int its = -1;
	int sv[2], k = hp_socketpair(sv);

	if (k < 0)
		return hp_err_sys(err, -k, "socket of front");
	f->sock = sv[0];
	its = sv[1];
	f->pid = fork();
	if (f->pid == 0)
		become(f->d->opt.front, its);
	if (f->pid < 0)
		return hp_err_sys(err, errno, "process for front");
	f->pidfd = pidfd_open(f->pid, 0);
	if (f->pidfd < 0)
		return hp_err_sys(err, errno, "pidfd of front");
	f->since_ns = hp_now_ns();
	f->ended = f->distrusted = false;
	f->last_words[0] = 0;
	queue(f, &head, &begin, sizeof(begin), -1);
	flush(f);
	return 0;
}

static void listen_all(struct hp_front *f)
{
	const struct hp_listener *l;

	tell_listen(f, 0, f->d->listen_fd);
	TAILQ_FOREACH(l, &f->d->listeners, link)
	if (!l->closing)
		tell_listen(f, l->id, l->fd);
}

void hp_front_forget(struct hp_front *f)
{
	struct hp_packet *p;

	TAILQ_FOREACH(p, &f->queue, link)
		hp_close(&p->fd);
	hp_close(&f->client_fd);
	hp_close(&f->sock);
	hp_close(&f->pidfd);
}

/* All that hangs on the process; the ring has let go of it. */
static void forget(struct hp_front *f)
{
	struct hp_packet *p;

	while ((p = TAILQ_FIRST(&f->queue)))
		packet_free(f, p);
	hp_intake_free(&f->intake);
	hp_close(&f->client_fd);
	hp_close(&f->sock);
	hp_close(&f->pidfd);
	f->pid = 0;
}

static void start_again(struct hp_front *f)
{
	struct hp_err err;

	if (spawn(f, &err) < 0) {
		hp_log(HP_LOG_ERROR, "front is not started again: %s", err.text);
		forget(f);
		hp_timer_set(f->d->ring, &f->again, hp_now_ns() + SOON_NS);
		return;
	}
	hp_front_attend(f);
	if (f->listens)
		listen_all(f);
}

static void again_fired(struct hp_timer *t)
{
	start_again((struct hp_front *)((char *)t - offsetof(struct hp_front, again)));
}

/* Its process has ended, and no operation refers to its socket. */
static void buried(struct hp_front *f)
{
	struct hp_daemon *d = f->d;
	bool greeted = f->intake.greeted, soon = hp_now_ns() - f->since_ns < SOON_NS;

	forget(f);
	hp_clients_leave(d);
	hp_daemon_uncount(d);
	if (d->stopping || d->ended)
		return;
	if (!greeted && !f->listens) {
		hp_daemon_fail(d, f->last_words);
		return;
	}
	if (soon)
		hp_timer_set(d->ring, &f->again, hp_now_ns() + SOON_NS);
	else
		start_again(f);
}

static void maybe_buried(struct hp_front *f)
{
	if (f->ended && !f->heard.armed && !f->room.armed)
		buried(f);
}

static void exit_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, exited));
	siginfo_t info = {0};
	struct hp_err err;

	if (res < 0)
		return; /* cancelled */
	while (!f->d->stopping && !f->distrusted && hear(f, &err) == 1)
		; /* its last words */
	f->ended = true;
	(void)waitid(P_PIDFD, (id_t)f->pidfd, &info, WEXITED | WNOHANG); /* readable: it is dead */
	if (!f->d->stopping && info.si_code == CLD_EXITED)
		hp_log(HP_LOG_ERROR, "front (process %d) ended with %d", f->pid, info.si_status);
	else if (!f->d->stopping)
		hp_log(HP_LOG_ERROR, "front (process %d) died by SIG%s", f->pid,
		       sigabbrev_np(info.si_status) ?: "?");
	hp_ring_cancel(f->d->ring, &f->heard);
	hp_ring_cancel(f->d->ring, &f->room);
	maybe_buried(f);
}

int hp_front_start(struct hp_front *f, struct hp_daemon *d, struct hp_err *err)
{
	f->d = d;
	f->heard.done = heard_done;
	f->room.done = room_done;
	f->exited.done = exit_done;
	f->again.fire = again_fired;
	return spawn(f, err);
}

void hp_front_attend(struct hp_front *f)
{
	hp_ring_poll(f->d->ring, &f->heard, f->sock);
	hp_ring_poll(f->d->ring, &f->exited, f->pidfd);
	flush(f);
}

void hp_front_begin(struct hp_front *f)
{
	f->listens = true;
	listen_all(f);
}

void hp_front_listen(struct hp_front *f, const struct hp_listener *l)
{
	tell_listen(f, l->id, l->fd);
}

void hp_front_unlisten(struct hp_front *f, const struct hp_listener *l)
{
	const struct hp_tell_head head = {.tell = HP_TELL_UNLISTEN, .conn = l->id};

	hp_front_tell(f, &head, "", 0);
}

void hp_front_stop(struct hp_front *f)
{
	const struct hp_tell_head head = {.tell = HP_TELL_STOP};

	hp_timer_clear(f->d->ring, &f->again);
	hp_front_tell(f, &head, "", 0);
}

void hp_front_free(struct hp_front *f)
{
	pid_t pid = f->pid;

	if (pid > 0)
		(void)kill(pid, SIGKILL); /* ours, and not reaped: it is that process */
	forget(f);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}
