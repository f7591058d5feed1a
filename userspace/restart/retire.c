/* SPDX-License-Identifier: MIT */
#include "restart/retire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "restart/takeaway.h"
#include "service/connections.h"
#include "target/target.h"

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

/* Or it is gone. */
static void signal_main(const struct hp_retire *r, int signal)
{
	(void)pidfd_send_signal(r->main_fd, signal, NULL, 0);
}

static void signal_all(const struct hp_retire *r, int signal)
{
	for (size_t i = 0; i < r->procs.n; i++)
		(void)pidfd_send_signal(r->pidfds[i], signal, NULL, 0);
}

/* Takes *pidfd. */
static int add(struct hp_retire *r, pid_t pid, int *pidfd)
{
	int *fds = realloc(r->pidfds, (r->procs.n + 1) * sizeof(*fds));
	pid_t *v;

	if (!fds)
		return -ENOMEM;
	r->pidfds = fds;
	v = HP_ARRAY_ADD(&r->procs);
	if (!v)
		return -ENOMEM;
	*v = pid;
	fds[r->procs.n - 1] = HP_TAKE_FD(*pidfd);
	return 0;
}

static void drop(struct hp_retire *r, size_t i)
{
	size_t last = --r->procs.n;

	hp_close(&r->pidfds[i]);
	r->procs.v[i] = r->procs.v[last];
	r->pidfds[i] = r->pidfds[last];
}

static void drop_ended(struct hp_retire *r)
{
	for (size_t i = r->procs.n; i-- > 0;)
		if (!hp_pidfd_lives(r->pidfds[i]))
			drop(r, i);
	if (r->main_fd >= 0 && !hp_pidfd_lives(r->main_fd))
		hp_close(&r->main_fd);
}

/* Below the old process may be whoever asked for the restart: this process, which has the listeners too,
 * and the new generation are nobody to be drained. */
static int hold(struct hp_retire *r, const struct hp_procs *group)
{
	struct hp_procs ours = {0};
	int *fds = NULL, k = 0;

	if (hp_procs_have(group, getpid()))
		k = hp_procs_below(&ours, getpid(), true);
	if (k == 0)
		k = hp_procs_hold(group, r->main, r->main_fd, &fds);
	for (size_t i = 0; k == 0 && i < group->n; i++)
		if (fds[i] >= 0 && !hp_procs_have(&r->procs, group->v[i]) &&
		    !hp_procs_have(&ours, group->v[i]))
			k = add(r, group->v[i], &fds[i]);
	hp_procs_let_go(group, fds);
	hp_procs_free(&ours);
	return k;
}

static int failed(int r, struct hp_err *err)
{
	return hp_err_sys(err, -r, "processes of the old generation");
}

int hp_retire_hold(struct hp_retire *r, const struct hp_target *main, const struct hp_procs *group,
		   struct hp_err *err)
{
	int k;

	r->main = main->pid;
	r->main_fd = fcntl(main->pidfd, F_DUPFD_CLOEXEC, 0);
	k = r->main_fd < 0 ? -errno : hold(r, group);
	return k < 0 ? failed(k, err) : 0;
}

/* It may be long since it was described. */
static int hold_born(struct hp_retire *r)
{
	struct hp_procs now = {0};
	int k = hp_procs_below(&now, r->main, true);

	if (k == 0)
		k = hold(r, &now);
	hp_procs_free(&now);
	return k;
}

int hp_retire_begin(struct hp_retire *r, uint64_t drain_ns, struct hp_err *err)
{
	int k;

	drop_ended(r);
	k = r->main_fd >= 0 ? hold_born(r) : 0;
	if (k < 0)
		return failed(k, err);
	for (size_t i = r->procs.n; i-- > 0;)
		if (r->procs.v[i] != r->main && !hp_listeners_held_by(r->listeners, r->procs.v[i]))
			drop(r, i);
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
	while (r->procs.n)
		drop(r, r->procs.n - 1);
	hp_close(&r->main_fd);
	free(r->pidfds);
	hp_procs_free(&r->procs);
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

	if (hp_take_away(&r->procs, r->pidfds, r->listeners, hp_now_ns() + TAKE_NS, &err) < 0)
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

	drop_ended(r);
	if (r->phase != HP_RETIRE_GONE && !r->procs.n) {
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
	if (r->phase == HP_RETIRE_STOPPING && r->main_fd < 0 && !r->orphans) {
		r->orphans = true;
		signal_all(r, SIGTERM);
	}
	now = hp_now_ns();
	if (!r->late && now >= r->deadline_ns)
		at_deadline(r);
	else if (r->late && now >= r->kill_ns)
		killed(r);
}
