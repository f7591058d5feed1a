/* SPDX-License-Identifier: MIT */
/*
 * The gatekeeper.  Two threads: one answers the job and reports who parks, one waits for the
 * deadline.  Commit and deadline may fill the page at the same time; the kernel lets one of them
 * win and tells the other EEXIST, so no lock decides about old and new.
 *
 * Invariants:
 *  - uffd changes only while the deadline thread is not filling (then it reads it unlocked);
 *  - the deadline keeps running until the commit has returned;
 *  - whenever something is wrong the userfaultfd is closed, and the page reads zero: old code.
 */
#include "gate/gatekeeper.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/helper.h"
#include "gate/gate.h"

#define PARKED_AT_ONCE 16

/* UFFDIO_COPY says EAGAIN while the memory map changes under it; then the pause lets a normal
 * thread finish that change before a real-time one asks again. */
#define FILL_TRIES    10000
#define FILL_PAUSE_NS (20 * HP_US)

struct keeper {
	int cmd, events;
	int wake; /* eventfd: the deadline thread has fired */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool watching; /* the deadline thread runs */
	int uffd;      /* -1: not armed */
	hp_addr page;
	uint64_t deadline_ns; /* 0: none */
	bool filling;         /* the deadline thread is in its ioctl */
	bool fired;

	/* the first thread's only */
	bool expired; /* the last arming ended by its deadline */
	uint32_t generation;
	struct gate_record out[PARKED_AT_ONCE + 1]; /* and one for the deadline */
	size_t n_out;
};

static unsigned char new_page[HP_PAGE] __attribute__((aligned(4096))) = {1};

static int fill(int uffd, hp_addr page, bool with_new)
{
	for (int i = 0; i < FILL_TRIES; i++) {
		struct uffdio_copy copy = {.dst = page, .src = (uintptr_t)new_page, .len = HP_PAGE};
		struct uffdio_zeropage zero = {.range = {.start = page, .len = HP_PAGE}};

		if (!(with_new ? ioctl(uffd, UFFDIO_COPY, &copy)
			       : ioctl(uffd, UFFDIO_ZEROPAGE, &zero)))
			return 0;
		if (errno != EAGAIN)
			return -errno;
		hp_pause_ns(FILL_PAUSE_NS);
	}
	return -EAGAIN;
}

static void wake_first_thread(struct keeper *k)
{
	uint64_t one = 1;

	(void)!write(k->wake, &one, sizeof(one)); /* fails only when it is awake 2^64 times over */
}

static void *wait_for_deadline(void *arg)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	k->watching = true;
	pthread_cond_broadcast(&k->changed);
	for (;;) {
		int r;

		if (!k->deadline_ns) {
			pthread_cond_wait(&k->changed, &k->lock);
			continue;
		}
		if (hp_now_ns() < k->deadline_ns) {
			struct timespec at = {(time_t)(k->deadline_ns / HP_S),
					      (long)(k->deadline_ns % HP_S)};

			pthread_cond_timedwait(&k->changed, &k->lock, &at);
			continue;
		}
		k->deadline_ns = 0;
		k->filling = true;
		pthread_mutex_unlock(&k->lock);
		hp_fault_pass(HP_FAULT_GATEKEEPER_LATE);
		r = fill(k->uffd, k->page, false);
		pthread_mutex_lock(&k->lock);
		k->filling = false;
		if (r != -EEXIST) {
			k->fired = true;
			wake_first_thread(k);
		}
		pthread_cond_broadcast(&k->changed);
	}
	return NULL;
}

/* Closing the userfaultfd lets go whoever is still parked: a page that is not there reads zero. */
static void disarm(struct keeper *k)
{
	bool fired;

	pthread_mutex_lock(&k->lock);
	k->deadline_ns = 0;
	while (k->filling)
		pthread_cond_wait(&k->changed, &k->lock);
	hp_close(&k->uffd);
	fired = k->fired;
	k->fired = false;
	pthread_mutex_unlock(&k->lock);
	if (fired) {
		k->expired = true;
		k->out[k->n_out++] = (struct gate_record){.kind = HP_GATE_DEADLINE,
							  .time_ns = hp_now_ns(),
							  .generation = k->generation};
	}
}

/* A wake-up may be left over from an arming that a commit or cancel ended first. */
static bool has_fired(struct keeper *k)
{
	bool fired;

	pthread_mutex_lock(&k->lock);
	fired = k->fired;
	pthread_mutex_unlock(&k->lock);
	return fired;
}

static int register_page(int uffd, hp_addr page, uint32_t *step)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID};
	struct uffdio_register reg = {.range = {.start = page, .len = HP_PAGE},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};
	int on = 1;

	*step = GATE_STEP_API;
	/* userfaultfd(2): poll on a blocking one reports POLLERR. */
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, FIONBIO, &on))
		return -errno;
	*step = GATE_STEP_REGISTER;
	return ioctl(uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static int arm(struct keeper *k, const struct gate_request *q, uint32_t *step)
{
	hp_autoclose int pidfd = -1;
	hp_autoclose int uffd = -1;
	int r;

	disarm(k);
	k->n_out = 0;
	k->generation = q->generation;
	k->expired = false;
	*step = GATE_STEP_PIDFD;
	pidfd = (int)syscall(SYS_pidfd_open, q->agent_tid, 0);
	if (pidfd < 0)
		return -errno;
	*step = GATE_STEP_GETFD;
	uffd = (int)syscall(SYS_pidfd_getfd, pidfd, q->agent_fd, 0);
	if (uffd < 0)
		return -errno;
	r = register_page(uffd, q->page, step);
	if (r)
		return r;
	pthread_mutex_lock(&k->lock);
	k->uffd = HP_TAKE_FD(uffd);
	k->page = q->page;
	pthread_mutex_unlock(&k->lock);
	return hp_fault(HP_FAULT_GATEKEEPER_ARMED, NULL);
}

static int start_deadline(struct keeper *k, uint64_t deadline_ns)
{
	if (k->uffd < 0)
		return -EINVAL;
	pthread_mutex_lock(&k->lock);
	k->deadline_ns = deadline_ns;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	hp_fault_pass(HP_FAULT_GATEKEEPER_CLOSED);
	return 0;
}

static int open_gate(struct keeper *k, bool to_new)
{
	int r;

	if (k->uffd < 0)
		return k->expired ? -ETIME : -EINVAL;
	r = to_new ? hp_fault(HP_FAULT_GATEKEEPER_COMMIT, NULL) : 0;
	if (r == 0)
		r = fill(k->uffd, k->page, to_new);
	hp_fault_pass(HP_FAULT_GATEKEEPER_DONE);
	disarm(k);
	return r == -EEXIST ? -ETIME : r;
}

static void serve(struct keeper *k)
{
	struct gate_request q;
	struct gate_reply reply = {0};

	if (hp_recv_fds(k->cmd, &q, sizeof(q), NULL, NULL))
		_exit(0); /* the job is gone, and with us goes the userfaultfd */
	switch (q.op) {
	case GATE_ARM:
		reply.rc = arm(k, &q, &reply.step);
		break;
	case GATE_CLOSE:
		reply.rc = start_deadline(k, q.deadline_ns);
		break;
	case GATE_COMMIT:
		reply.rc = open_gate(k, true);
		break;
	case GATE_CANCEL:
		reply.rc = open_gate(k, false);
		break;
	default:
		reply.rc = -EBADMSG;
	}
	if (hp_send_fds(k->cmd, &reply, sizeof(reply), NULL, 0))
		_exit(0);
}

static void report_parked(struct keeper *k)
{
	struct uffd_msg msg[PARKED_AT_ONCE];
	ssize_t n = read(k->uffd, msg, sizeof(msg));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*msg); i++)
		if (msg[i].event == UFFD_EVENT_PAGEFAULT)
			k->out[k->n_out++] =
				(struct gate_record){.kind = HP_GATE_PARKED,
						     .tid = (int32_t)msg[i].arg.pagefault.feat.ptid,
						     .time_ns = hp_now_ns(),
						     .generation = k->generation};
}

static void send_events(struct keeper *k)
{
	size_t done = 0;

	while (done < k->n_out) {
		ssize_t r = write(k->events, &k->out[done], sizeof(*k->out));

		if (r < 0 && errno == EAGAIN)
			break;
		if (r < 0)
			_exit(0); /* EPIPE: the job is gone */
		done++;
	}
	k->n_out -= done;
	memmove(k->out, k->out + done, k->n_out * sizeof(*k->out));
}

_Noreturn static void loop(struct keeper *k)
{
	for (;;) {
		/* While the job does not read, the kernel keeps the queue of the parked. */
		struct pollfd p[] = {
			{.fd = k->cmd, .events = POLLIN},
			{.fd = k->wake, .events = POLLIN},
			{.fd = k->n_out ? k->events : -1, .events = POLLOUT},
			{.fd = k->n_out ? -1 : k->uffd, .events = POLLIN},
		};
		uint64_t n;

		if (poll(p, 4, -1) < 0 && errno != EINTR)
			_exit(1);
		if (p[0].revents)
			serve(k);
		if (p[1].revents && read(k->wake, &n, sizeof(n)) == sizeof(n) && has_fired(k))
			disarm(k);
		if (p[3].revents && k->uffd >= 0 && !k->n_out)
			report_parked(k);
		send_events(k);
	}
}

static int start_deadline_thread(struct keeper *k)
{
	pthread_condattr_t attr;
	pthread_t thread;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->changed, &attr);
	r = pthread_create(&thread, NULL, wait_for_deadline, k);
	if (r)
		return -r;
	/* Until it stands in its loop it makes calls that the filter does not know. */
	pthread_mutex_lock(&k->lock);
	while (!k->watching)
		pthread_cond_wait(&k->changed, &k->lock);
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static int prepare(struct keeper *k)
{
	struct sched_param first = {.sched_priority = 1};
	int keep[] = {k->cmd, k->events};
	int r = hp_helper_begin("hp-gatekeeper", keep, 2);

	if (r)
		return r;
	k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wake < 0)
		return -errno;
	/* Each may be forbidden (EPERM, in a container or a cgroup without real-time budget): then
	 * the deadline is kept as well as the machine's load allows.  Real time comes last: until
	 * then nothing is urgent. */
	(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		(void)setpriority(PRIO_PROCESS, 0, -20);
	r = hp_confine_rights(HP_ROLE_GATEKEEPER, NULL);
	/* EOF would do, if no other child of the job held a copy of its end of the socket. */
	if (!r && prctl(PR_SET_PDEATHSIG, SIGKILL))
		r = -errno;
	if (!r)
		r = start_deadline_thread(k);
	if (!r)
		r = hp_confine_calls(HP_ROLE_GATEKEEPER, NULL);
	return r ? r : hp_fault(HP_FAULT_GATEKEEPER_READY, NULL);
}

_Noreturn void hp_gatekeeper_run(int cmd, int events)
{
	static struct keeper k;
	struct gate_reply ready = {0};

	k.cmd = cmd;
	k.events = events;
	k.uffd = -1;
	ready.rc = prepare(&k);
	if (hp_send_fds(cmd, &ready, sizeof(ready), NULL, 0) || ready.rc)
		_exit(1);
	loop(&k);
}
