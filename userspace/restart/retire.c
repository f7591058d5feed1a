/* SPDX-License-Identifier: MIT */
#include "restart/retire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "restart/takeaway.h"
#include "service/connections.h"

/* One try to borrow a thread for taking the listeners away. */
#define TAKE_NS (5 * HP_S)

/* Programs that are known to end when their last connection does, and by which signal. */
static const struct {
	const char *comm;
	int signal;
} graceful[] = {{"nginx", SIGQUIT}, {"haproxy", SIGUSR1}};

void hp_retire_choose(struct hp_retire *r, const struct hp_restart_request *req, const char *comm)
{
	int known = 0;

	for (size_t i = 0; i < sizeof(graceful) / sizeof(graceful[0]); i++)
		if (!strcmp(comm, graceful[i].comm))
			known = graceful[i].signal;
	r->way = req->drain;
	if (r->way == HP_DRAIN_DEFAULT)
		r->way = known ? HP_DRAIN_GRACEFUL : HP_DRAIN_EXTERNAL;
	r->signal = req->drain_signal;
	if (!r->signal)
		r->signal = r->way == HP_DRAIN_GRACEFUL && known ? known : SIGTERM;
}

static void signal_one(const struct hp_retire *r, size_t i, int signal)
{
	if (r->pidfds[i] >= 0)
		(void)pidfd_send_signal(r->pidfds[i], signal, NULL, 0); /* or it is gone */
}

/* @main is always the first. */
static void signal_main(const struct hp_retire *r, int signal)
{
	signal_one(r, 0, signal);
}

static void signal_all(const struct hp_retire *r, int signal)
{
	for (size_t i = 0; i < r->procs.n; i++)
		signal_one(r, i, signal);
}

static int add(struct hp_retire *r, pid_t pid)
{
	pid_t *v = HP_ARRAY_ADD(&r->procs);
	int *fds = v ? realloc(r->pidfds, r->procs.n * sizeof(*fds)) : NULL;

	if (!fds)
		return -ENOMEM;
	*v = pid;
	r->pidfds = fds;
	fds[r->procs.n - 1] = pidfd_open(pid, 0); /* -1: gone meanwhile */
	return 0;
}

int hp_retire_begin(struct hp_retire *r, const struct hp_procs *group, uint64_t drain_ns,
		    struct hp_err *err)
{
	int k = add(r, r->main);

	for (size_t i = 0; k == 0 && i < group->n; i++)
		if (group->v[i] != r->main && hp_listeners_held_by(r->listeners, group->v[i]))
			k = add(r, group->v[i]);
	if (k < 0)
		return hp_err_sys(err, -k, "processes of the old generation");
	r->since_ns = hp_now_ns();
	r->deadline_ns = r->since_ns + drain_ns;
	r->phase = HP_RETIRE_TAKING;
	if (r->way == HP_DRAIN_GRACEFUL) {
		r->phase = HP_RETIRE_DRAINING;
		signal_main(r, r->signal);
	}
	hp_retire_step(r);
	return 0;
}

void hp_retire_free(struct hp_retire *r)
{
	for (size_t i = 0; i < r->procs.n; i++)
		hp_close(&r->pidfds[i]);
	free(r->pidfds);
	hp_procs_free(&r->procs);
}

/* How many have not ended. */
static size_t reap(struct hp_retire *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->procs.n; i++) {
		struct pollfd p = {.fd = r->pidfds[i], .events = POLLIN};

		if (p.fd >= 0 && poll(&p, 1, 0) > 0)
			hp_close(&r->pidfds[i]);
		n += r->pidfds[i] >= 0;
	}
	return n;
}

static void count(struct hp_retire *r)
{
	struct hp_connections open = {0};

	if (hp_connections_read(&open, &r->procs, r->listeners) == 0)
		r->open = (unsigned)open.n;
	hp_connections_free(&open);
}

static void tell_open(struct hp_retire *r)
{
	struct hp_connections open = {0};
	double age = (double)(hp_now_ns() - r->since_ns) / (double)HP_S;
	char text[sizeof(open.v[0].text) + sizeof(open.v[0].idle) + 64];

	if (hp_connections_read(&open, &r->procs, r->listeners) == 0)
		r->drained.left = (unsigned)open.n;
	for (size_t i = 0; i < open.n; i++) {
		(void)snprintf(text, sizeof(text), "%s, open for at least %.1f s%s", open.v[i].text,
			       age, open.v[i].idle);
		r->tell(r->arg, "open", text);
	}
	hp_connections_free(&open);
}

static void stop(struct hp_retire *r)
{
	r->phase = HP_RETIRE_STOPPING;
	signal_main(r, r->signal);
}

static void at_deadline(struct hp_retire *r)
{
	r->late = true;
	r->kill_ns = r->deadline_ns + HP_RESTART_STOP_NS;
	tell_open(r);
	r->phase = HP_RETIRE_STOPPING;
	signal_all(r, SIGTERM);
}

static void take(struct hp_retire *r)
{
	struct hp_err err;

	if (hp_take_away(&r->procs, r->listeners, hp_now_ns() + TAKE_NS, &err) < 0)
		r->tell(r->arg, "retry", err.text);
	else
		r->phase = HP_RETIRE_DRAINING;
}

static void killed(struct hp_retire *r)
{
	r->drained.killed = true;
	signal_all(r, SIGKILL);
	r->kill_ns = hp_now_ns() + HP_S; /* again, should it have been too early */
}

void hp_retire_step(struct hp_retire *r)
{
	uint64_t now;

	if (r->phase != HP_RETIRE_GONE && reap(r) == 0) {
		r->phase = HP_RETIRE_GONE;
		r->open = 0;
		r->drained.ns = hp_now_ns() - r->since_ns;
	}
	if (r->phase == HP_RETIRE_GONE)
		return;
	if (r->phase == HP_RETIRE_TAKING)
		take(r);
	count(r);
	if (r->phase == HP_RETIRE_DRAINING && r->way == HP_DRAIN_EXTERNAL && !r->open)
		stop(r);
	/* A program whose main process does not end the others. */
	if (r->phase == HP_RETIRE_STOPPING && r->pidfds[0] < 0 && !r->orphans) {
		r->orphans = true;
		signal_all(r, SIGTERM);
	}
	now = hp_now_ns();
	if (!r->late && now >= r->deadline_ns)
		at_deadline(r);
	else if (r->late && now >= r->kill_ns)
		killed(r);
}
