/* SPDX-License-Identifier: MIT */
/*
 * The job's side of the gate.  Every request is answered; a gatekeeper that does not answer in time
 * is killed, which opens the gate to old code, rather than waited for.
 */
#include "gate/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "gate/gatekeeper.h"
#include "hp/err.h"
#include "target/threads.h"

#define ANSWER_NS (5 * HP_S)
/* While the gate is closed threads wait.  A gatekeeper that lives opens it at the deadline at the
 * latest; one that is stopped, or does not get a CPU, is killed so long after it. */
#define LATE_NS (40 * HP_MS)

struct hp_gate {
	pid_t pid;
	int cmd, events;
	bool ready; /* it has said so */
	bool armed;
	bool lost;
	uint32_t generation;
	uint64_t budget_ns; /* for messages */
	uint64_t deadline_ns; /* of the closed gate; 0: it is not closed */
};

/* Afterwards the userfaultfd is closed: the gate byte does not change any more. */
static void end_process(struct hp_gate *g)
{
	if (g->pid <= 0)
		return;
	(void)kill(g->pid, SIGKILL); /* not reaped yet, so the number is still its own */
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	g->pid = -1;
}

static int lose(struct hp_gate *g, const char *what, struct hp_err *err)
{
	g->lost = true;
	g->deadline_ns = 0;
	end_process(g);
	return hp_err_set(err, -HP_E_FAILED,
			  "the gatekeeper died or did not answer %s: the target goes on in old code "
			  "unless the gate byte says otherwise; try again",
			  what);
}

static int await(int fd, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = hp_now_ns();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int r;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)((deadline_ns - now) / HP_MS) + 1);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static uint64_t answer_until(const struct hp_gate *g)
{
	uint64_t now = hp_now_ns();

	if (!g->deadline_ns)
		return now + ANSWER_NS;
	return (now < g->deadline_ns ? g->deadline_ns : now) + LATE_NS;
}

static int receive(struct hp_gate *g, struct gate_reply *ret, const char *what, struct hp_err *err)
{
	if (await(g->cmd, answer_until(g)) ||
	    hp_recv_fds(g->cmd, ret, sizeof(*ret), NULL, NULL))
		return lose(g, what, err);
	return 0;
}

/* It sets itself up while the job goes on. */
static int await_ready(struct hp_gate *g, struct hp_err *err)
{
	struct gate_reply reply;
	int r;

	if (g->ready || g->lost)
		return 0;
	r = receive(g, &reply, "at its start", err);
	if (r)
		return r;
	if (reply.rc) {
		(void)lose(g, "at its start", NULL); /* what it said is told instead */
		return hp_err_sys(err, -reply.rc, "the gatekeeper could not set itself up");
	}
	g->ready = true;
	return 0;
}

static int ask(struct hp_gate *g, struct gate_request *q, struct gate_reply *ret, const char *what,
	       struct hp_err *err)
{
	int r = await_ready(g, err);

	if (r)
		return r;
	q->generation = g->generation;
	if (g->lost || hp_send_fds(g->cmd, q, sizeof(*q), NULL, 0))
		return lose(g, what, err);
	return receive(g, ret, what, err);
}

static int start_process(struct hp_gate *g, struct hp_err *err)
{
	hp_autoclose int mine = -1;
	hp_autoclose int its = -1;
	hp_autoclose int reading = -1;
	hp_autoclose int writing = -1;
	int sv[2], ends[2], r;

	r = hp_socketpair(sv);
	if (r)
		return hp_err_sys(err, -r, "socketpair for the gatekeeper");
	mine = sv[0];
	its = sv[1];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return hp_err_sys(err, errno, "pipe for the gatekeeper");
	reading = ends[0];
	writing = ends[1];
	g->pid = fork();
	if (g->pid < 0)
		return hp_err_sys(err, errno, "fork of the gatekeeper");
	if (!g->pid)
		hp_gatekeeper_run(its, writing);
	g->cmd = HP_TAKE_FD(mine);
	g->events = HP_TAKE_FD(reading);
	return 0;
}

int hp_gate_start(struct hp_gate **ret, struct hp_err *err)
{
	struct hp_gate *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return hp_err_sys(err, ENOMEM, "gatekeeper");
	g->pid = g->cmd = g->events = -1;
	r = start_process(g, err);
	if (r) {
		hp_gate_stop(g);
		return r;
	}
	*ret = g;
	return 0;
}

void hp_gate_release(struct hp_gate *g)
{
	if (g && g->armed)
		(void)lose(g, "any more", NULL); /* nobody asks again */
}

/* At its end a process gives its memory back, which takes half a millisecond: not before others. */
static void calm(pid_t pid)
{
	const struct sched_param none = {0};
	struct hp_pids tids = {0};

	if (pid > 0 && hp_threads_of(pid, &tids) == 0)
		for (size_t i = 0; i < tids.n; i++)
			(void)sched_setscheduler(tids.v[i], SCHED_OTHER, &none); /* or it has ended */
	hp_pids_free(&tids);
}

void hp_gate_stop(struct hp_gate *g)
{
	if (!g)
		return;
	calm(g->pid);
	end_process(g);
	hp_close(&g->cmd);
	hp_close(&g->events);
	free(g);
}

pid_t hp_gate_pid(const struct hp_gate *g)
{
	return g->pid;
}

static int arm_failed(const struct gate_request *q, const struct gate_reply *reply,
		      struct hp_err *err)
{
	if (reply->rc == -ESRCH)
		return hp_err_set(err, -HP_E_GONE, "gate: the target's agent (thread %d) is gone",
				  q->agent_tid);
	switch (reply->step) {
	case GATE_STEP_GETFD:
		return hp_err_sys(err, -reply->rc,
				  "gate: cannot take descriptor %d out of the agent (thread %d)",
				  q->agent_fd, q->agent_tid);
	case GATE_STEP_API:
		return hp_err_sys(err, -reply->rc,
				  "gate: descriptor %d of the agent is no fresh userfaultfd that "
				  "reports thread ids",
				  q->agent_fd);
	case GATE_STEP_REGISTER:
		return hp_err_sys(err, -reply->rc,
				  "gate: userfaultfd cannot be registered for the page at 0x%llx",
				  (unsigned long long)q->page);
	}
	return hp_err_sys(err, -reply->rc, "gate: pidfd of the agent (thread %d)", q->agent_tid);
}

int hp_gate_arm(struct hp_gate *g, pid_t agent_tid, int agent_fd, hp_addr page, struct hp_err *err)
{
	struct gate_request q = {
		.op = GATE_ARM, .agent_tid = agent_tid, .agent_fd = agent_fd, .page = page};
	struct gate_reply reply;
	int r;

	g->generation++;
	r = ask(g, &q, &reply, "when the gate was armed", err);
	if (r)
		return r;
	if (reply.rc)
		return arm_failed(&q, &reply, err);
	g->armed = true;
	return 0;
}

int hp_gate_close(struct hp_gate *g, uint64_t budget_ns, struct hp_err *err)
{
	struct gate_request q = {.op = GATE_CLOSE, .deadline_ns = hp_now_ns() + budget_ns};
	struct gate_reply reply;
	int r = ask(g, &q, &reply, "when the gate was closed", err);

	if (r)
		return r;
	g->budget_ns = budget_ns;
	g->deadline_ns = q.deadline_ns;
	return reply.rc ? hp_err_sys(err, -reply.rc, "the gate is not armed") : 0;
}

static int open_gate(struct hp_gate *g, enum gate_op op, const char *what, struct hp_err *err)
{
	struct gate_request q = {.op = op};
	struct gate_reply reply;
	int r = ask(g, &q, &reply, what, err);

	if (r)
		return r;
	g->armed = false;
	g->deadline_ns = 0;
	switch (reply.rc) {
	case 0:
		return 0;
	case -ETIME:
		return hp_err_set(
			err, -ETIME,
			"the gate's budget of %.1f ms was spent: all threads go on in old code",
			(double)g->budget_ns / HP_MS);
	case -ESRCH:
		return hp_err_set(err, -HP_E_GONE, "the target ended while its gate was closed");
	case -EINVAL:
		return hp_err_sys(err, EINVAL, "the gate is not armed");
	}
	return hp_err_sys(err, -reply.rc,
			  "userfaultfd did not take the gate page: all threads go on in old code");
}

int hp_gate_commit(struct hp_gate *g, struct hp_err *err)
{
	return open_gate(g, GATE_COMMIT, "at the commit", err);
}

int hp_gate_cancel(struct hp_gate *g, struct hp_err *err)
{
	return open_gate(g, GATE_CANCEL, "when the gate was opened to old code", err);
}

int hp_gate_fd(const struct hp_gate *g)
{
	return g->events;
}

static bool is_late(const struct hp_gate *g)
{
	return g->deadline_ns && hp_now_ns() >= g->deadline_ns + LATE_NS;
}

int hp_gate_next(struct hp_gate *g, struct hp_gate_event *ev, struct hp_err *err)
{
	struct gate_record rec;

	for (;;) {
		ssize_t n = read(g->events, &rec, sizeof(rec));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return is_late(g) ? lose(g, "at its deadline", err) : 0;
		if (n != sizeof(rec))
			return lose(g, "any more", err);
		if (rec.generation != g->generation)
			continue; /* of an earlier arming */
		if (rec.kind == HP_GATE_DEADLINE)
			g->deadline_ns = 0;
		*ev = (struct hp_gate_event){
			.kind = rec.kind, .tid = rec.tid, .time_ns = rec.time_ns};
		return 1;
	}
}
