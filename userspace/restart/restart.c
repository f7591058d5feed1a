/* SPDX-License-Identifier: MIT */
/* The side of whoever asked: starts the supervisor, and hears what it says. */
#include "restart/restart.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "restart/report.h"
#include "service/procs.h"

struct hp_restart {
	const struct hp_ops *ops;
	int sock; /* to the supervisor; -1: it has left */
	struct hp_report last;
};

/* Should the supervisor be killed, what it has started is ours. */
static int died(struct hp_err *err)
{
	(void)hp_procs_kill_below(); /* what cannot be killed, hp cannot help */
	hp_restart_repair();
	return hp_err_set(err, -HP_E_FAILED, "the supervisor of the restart died");
}

static void step(const struct hp_restart *r)
{
	const struct hp_ops_report *report = &r->ops->report;

	if (report->step)
		report->step(report->arg, r->last.step, r->last.ns, r->last.text);
}

/* From here on what was started is not ours to end. */
static void disown(const struct hp_restart *r)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0); /* cannot fail */
	(void)hp_write_all(r->sock, "", 1);	/* or the supervisor is gone, which hear() sees */
}

/* The next thing said that is no step.  -ECANCELED: the end of @stop_fd was first; -ECONNRESET. */
static int hear(struct hp_restart *r, int stop_fd)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = r->sock, .events = POLLIN},
				      {.fd = stop_fd, .events = POLLIN}};
		size_t none = 0;
		int k;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (!p[0].revents && p[1].revents)
			return -ECANCELED;
		if (!p[0].revents)
			continue;
		k = hp_recv_fds(r->sock, &r->last, sizeof(r->last), NULL, &none);
		if (k < 0)
			return k;
		if (r->last.kind == HP_REPORT_STEP)
			step(r);
		else if (r->last.kind == HP_REPORT_DISOWN)
			disown(r);
		else
			return 0;
	}
}

static int start(struct hp_restart *r, const struct hp_restart_request *req, struct hp_err *err)
{
	int sv[2], k = hp_socketpair(sv);
	pid_t pid;

	if (k < 0)
		return hp_err_sys(err, -k, "socket of the supervisor");
	r->sock = sv[0];
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		hp_supervise(req, &r->ops->permit, sv[1]);
	}
	k = pid < 0 ? -errno : 0;
	close(sv[1]);
	return k < 0 ? hp_err_sys(err, -k, "process of the supervisor") : 0;
}

static int begin(struct hp_restart *r, const struct hp_restart_request *req,
		 struct hp_restart_result *result, struct hp_err *err)
{
	int k;

	hp_restart_repair();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return hp_err_sys(err, errno, "child subreaper");
	k = start(r, req, err);
	if (k < 0)
		return k;
	if (hear(r, -1) < 0)
		return died(err);
	if (r->last.kind == HP_REPORT_SWITCHED)
		*result = r->last.result;
	return r->last.code ? hp_err_set(err, r->last.code, "%s", r->last.text) : 0;
}

int hp_restart_begin(struct hp_restart **ret, const struct hp_restart_request *req,
		     const struct hp_ops *ops, struct hp_restart_result *result,
		     struct hp_err *err)
{
	struct hp_restart *r = calloc(1, sizeof(*r));
	int k;

	if (!r)
		return hp_err_sys(err, ENOMEM, "restart");
	r->sock = -1;
	r->ops = ops;
	k = begin(r, req, result, err);
	if (k < 0 && k != -HP_E_PARTIAL)
		hp_restart_end(r);
	else
		*ret = r;
	return k;
}

int hp_restart_follow(struct hp_restart *r, int stop_fd, struct hp_restart_drained *ret,
		      struct hp_err *err)
{
	int k = hear(r, stop_fd);

	if (k == 0)
		*ret = r->last.drained;
	if (k == -ECANCELED)
		return k;
	if (k == 0)
		return 0;
	hp_restart_repair();
	return hp_err_set(err, -HP_E_FAILED,
			  "the supervisor of the new generation died before the old one was gone");
}

void hp_restart_end(struct hp_restart *r)
{
	hp_close(&r->sock);
	free(r);
}
