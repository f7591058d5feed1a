/* SPDX-License-Identifier: MIT */
/*
 * Timers are the time-out of the wait itself (IORING_ENTER_EXT_ARG), so that setting one costs no
 * request and there is none to cancel.  Receive buffers are a mapped ring (Linux 5.19): a
 * connection that is silent holds none, and each goes back as soon as its bytes were taken.
 *
 * The ring takes only what is used here (IORING_REGISTER_RESTRICTIONS, Linux 5.10): whoever got hold
 * of hpd by its clients' bytes could neither open a file nor connect through it, whatever filters for
 * system calls say, which see nothing of what a ring does.
 */
#include "ipc/ring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hp/err.h"

#define ENTRIES	    256
#define BUFS	    64 /* a power of two */
#define BUF_SIZE    8192
#define BUF_GROUP   1
#define BUFRING_LEN (BUFS * sizeof(struct io_uring_buf))

struct hp_ring {
	struct io_uring uring;
	struct io_uring_buf_ring *bufring;
	char *buf; /* BUFS * BUF_SIZE */
	TAILQ_HEAD(timers, hp_timer) timers; /* soonest first */
	char features[128];
};

static char *buf_at(struct hp_ring *r, unsigned id)
{
	return r->buf + (size_t)id * BUF_SIZE;
}

static void buf_give(struct hp_ring *r, unsigned id)
{
	io_uring_buf_ring_add(r->bufring, buf_at(r, id), BUF_SIZE, (unsigned short)id, BUFS - 1, 0);
	io_uring_buf_ring_advance(r->bufring, 1);
}

static int bufs_open(struct hp_ring *r, struct hp_err *err)
{
	struct io_uring_buf_reg reg = {.ring_entries = BUFS, .bgid = BUF_GROUP};
	int k;

	r->bufring = mmap(NULL, BUFRING_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (r->bufring == MAP_FAILED) {
		r->bufring = NULL;
		return hp_err_sys(err, errno, "io_uring buffer ring");
	}
	/* The kernel holds these pages: a job must not make hpd's copy the new one. */
	(void)madvise(r->bufring, BUFRING_LEN, MADV_DONTFORK); /* without it fork copies, no more */
	r->buf = malloc((size_t)BUFS * BUF_SIZE);
	if (!r->buf)
		return hp_err_sys(err, ENOMEM, "io_uring buffers");
	io_uring_buf_ring_init(r->bufring);
	reg.ring_addr = (uintptr_t)r->bufring;
	k = io_uring_register_buf_ring(&r->uring, &reg, 0);
	if (k < 0)
		return hp_err_sys(err, -k, "io_uring buffer ring (needs Linux 5.19)");
	for (unsigned i = 0; i < BUFS; i++)
		buf_give(r, i);
	return 0;
}

/* liburing 2.3 declares functions for these two, and does not export them. */
static int register_ring(const struct hp_ring *r, unsigned what, void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, r->uring.ring_fd, what, arg, n) < 0 ? -errno : 0;
}

static int restrict_ring(struct hp_ring *r, enum hp_ring_use use, struct hp_err *err)
{
	static const uint8_t may[HP_RING_USES][5] = {
		[HP_RING_MONITOR] = {IORING_OP_RECV, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
				     IORING_OP_READ, IORING_OP_READ},
		[HP_RING_FRONT] = {IORING_OP_RECV, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
				   IORING_OP_ACCEPT, IORING_OP_SEND},
	};
	const uint8_t *ops = may[use];
	struct io_uring_restriction v[sizeof(may[0]) + 1] = {0};
	int k;

	for (size_t i = 0; i < sizeof(may[0]); i++) {
		v[i].opcode = IORING_RESTRICTION_SQE_OP;
		v[i].sqe_op = ops[i];
	}
	v[sizeof(may[0])].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	v[sizeof(may[0])].sqe_flags = IOSQE_BUFFER_SELECT;
	k = register_ring(r, IORING_REGISTER_RESTRICTIONS, v, sizeof(v) / sizeof(v[0]));
	if (k == 0)
		k = register_ring(r, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return k < 0 ? hp_err_sys(err, -k, "restrict the io_uring") : 0;
}

int hp_ring_open(struct hp_ring **ret, enum hp_ring_use use, struct hp_err *err)
{
	struct hp_ring *r = calloc(1, sizeof(*r));
	int k;

	if (!r)
		return hp_err_sys(err, ENOMEM, "io_uring");
	TAILQ_INIT(&r->timers);
	r->uring.ring_fd = -1;
	k = io_uring_queue_init(ENTRIES, &r->uring, IORING_SETUP_R_DISABLED);
	if (k < 0) {
		free(r);
		return hp_err_sys(err, -k, "io_uring_setup (is kernel.io_uring_disabled set?)");
	}
	(void)io_uring_ring_dontfork(&r->uring); /* hp_ring_forget() keeps jobs off it anyway */
	snprintf(r->features, sizeof(r->features), "io_uring%s%s%s",
		 r->uring.features & IORING_FEAT_NODROP ? " nodrop" : "",
		 r->uring.features & IORING_FEAT_EXT_ARG ? " ext-arg" : "",
		 r->uring.features & IORING_FEAT_FAST_POLL ? " fast-poll" : "");
	k = bufs_open(r, err);
	if (k == 0)
		k = restrict_ring(r, use, err);
	if (k < 0) {
		hp_ring_free(r);
		return k;
	}
	*ret = r;
	return 0;
}

void hp_ring_free(struct hp_ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->uring);
	if (r->bufring)
		munmap(r->bufring, BUFRING_LEN);
	free(r->buf);
	free(r);
}

void hp_ring_forget(struct hp_ring *r)
{
	close(r->uring.ring_fd);
}

const char *hp_ring_features(const struct hp_ring *r)
{
	return r->features;
}

static struct io_uring_sqe *sqe_for(struct hp_ring *r, struct hp_ring_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	if (!sqe) {
		/* The kernel takes every entry of a ring without SQPOLL. */
		io_uring_submit(&r->uring);
		sqe = io_uring_get_sqe(&r->uring);
	}
	if (!sqe) {
		hp_log(HP_LOG_ERROR, "io_uring takes no more requests");
		abort();
	}
	if (op)
		op->armed = true;
	return sqe;
}

void hp_ring_accept(struct hp_ring *r, struct hp_ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_recv(struct hp_ring *r, struct hp_ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUF_GROUP;
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_send(struct hp_ring *r, struct hp_ring_op *op, int fd, const void *buf, size_t n)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_send(sqe, fd, buf, n, MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_read(struct hp_ring *r, struct hp_ring_op *op, int fd, void *buf, size_t n)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_read(sqe, fd, buf, (unsigned)n, 0);
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_poll(struct hp_ring *r, struct hp_ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_poll_add(sqe, fd, POLLIN);
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_poll_out(struct hp_ring *r, struct hp_ring_op *op, int fd)
{
	struct io_uring_sqe *sqe = sqe_for(r, op);

	io_uring_prep_poll_add(sqe, fd, POLLOUT);
	io_uring_sqe_set_data(sqe, op);
}

void hp_ring_cancel(struct hp_ring *r, struct hp_ring_op *op)
{
	struct io_uring_sqe *sqe;

	if (!op->armed)
		return;
	sqe = sqe_for(r, NULL);
	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

void hp_timer_set(struct hp_ring *r, struct hp_timer *t, uint64_t at_ns)
{
	struct hp_timer *first, *last, *other;

	hp_timer_clear(r, t);
	t->at_ns = at_ns ? at_ns : 1;
	first = TAILQ_FIRST(&r->timers);
	last = TAILQ_LAST(&r->timers, timers);
	if (!first || t->at_ns < first->at_ns) {
		TAILQ_INSERT_HEAD(&r->timers, t, link);
		return;
	}
	/* There are two spans, one of clients that are served and one of those that rest, so its place
	 * is near one of the ends. */
	if (t->at_ns < last->at_ns && t->at_ns - first->at_ns < last->at_ns - t->at_ns) {
		for (other = first; other->at_ns <= t->at_ns;)
			other = TAILQ_NEXT(other, link);
		TAILQ_INSERT_BEFORE(other, t, link);
		return;
	}
	for (other = last; other->at_ns > t->at_ns;)
		other = TAILQ_PREV(other, timers, link);
	TAILQ_INSERT_AFTER(&r->timers, other, t, link);
}

void hp_timer_clear(struct hp_ring *r, struct hp_timer *t)
{
	if (!t->at_ns)
		return;
	TAILQ_REMOVE(&r->timers, t, link);
	t->at_ns = 0;
}

static void complete(struct hp_ring *r, struct io_uring_cqe *cqe)
{
	struct hp_ring_op *op = io_uring_cqe_get_data(cqe);
	bool has_buf = cqe->flags & IORING_CQE_F_BUFFER;
	unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	int res = cqe->res;

	if (op)
		op->armed = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(&r->uring, cqe);
	if (op)
		op->done(op, res, has_buf ? buf_at(r, id) : NULL);
	if (has_buf)
		buf_give(r, id);
}

static void fire_timers(struct hp_ring *r)
{
	uint64_t now = hp_now_ns();
	struct hp_timer *t;

	while ((t = TAILQ_FIRST(&r->timers)) && t->at_ns <= now) {
		hp_timer_clear(r, t);
		t->fire(t);
	}
}

int hp_ring_turn(struct hp_ring *r, struct hp_err *err)
{
	struct hp_timer *t = TAILQ_FIRST(&r->timers);
	struct __kernel_timespec ts, *wait = NULL;
	struct io_uring_cqe *cqe;
	int k;

	if (t) {
		uint64_t now = hp_now_ns(), left = t->at_ns > now ? t->at_ns - now : 0;

		ts.tv_sec = (long long)(left / HP_S);
		ts.tv_nsec = (long long)(left % HP_S);
		wait = &ts;
	}
	k = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, wait, NULL);
	if (k < 0 && k != -ETIME && k != -EINTR && k != -EAGAIN && k != -EBUSY)
		return hp_err_sys(err, -k, "io_uring_enter");
	/* At most a ring's worth, so that timers are not starved. */
	for (unsigned n = 0; n < ENTRIES && io_uring_peek_cqe(&r->uring, &cqe) == 0; n++)
		complete(r, cqe);
	fire_timers(r);
	return 0;
}
