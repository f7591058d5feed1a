/* SPDX-License-Identifier: MIT */
/*
 * Callbacks from the ring may end anything but free only what nobody up the stack holds; closed
 * connections are freed between two turns.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/template.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/caps.h"
#include "daemon/claims.h"
#include "daemon/events.h"
#include "daemon/family.h"
#include "daemon/guard.h"
#include "daemon/listen.h"
#include "daemon/serve.h"
#include "hp/err.h"
#include "watch/watch.h"

#define PATIENCE_NS (10 * HP_S)

void hp_daemon_forget(struct hp_daemon *d)
{
	struct hp_serve *l;
	struct hp_subject *s;
	struct hp_job *job;

	TAILQ_FOREACH(l, &d->listeners, link) {
		hp_close(&l->fd);
		hp_close(&l->pidfd);
	}
	hp_front_forget(&d->front);
	hp_guard_forget(d);
	TAILQ_FOREACH(job, &d->jobs, link) {
		hp_close(&job->sock);
		hp_close(&job->pidfd);
	}
	TAILQ_FOREACH(s, &d->subjects, link) {
		close(s->pidfd);
		hp_close(&s->claim);
	}
	hp_close(&d->signal_fd);
	hp_close(&d->listen_fd);
	hp_close(&d->lock_fd);
	hp_close(&d->claims_fd);
	hp_close(&d->opt.ready_fd);
	hp_ring_forget(d->ring);
}

static bool is_idle(const struct hp_daemon *d)
{
	return d->front.listens && !hp_daemon_conns(d) && TAILQ_EMPTY(&d->clients) &&
	       TAILQ_EMPTY(&d->jobs) && TAILQ_EMPTY(&d->turns.waiting) &&
	       TAILQ_EMPTY(&d->subjects) && TAILQ_EMPTY(&d->listeners);
}

void hp_daemon_settle(struct hp_daemon *d)
{
	if (d->stopping && !hp_daemon_conns(d) && TAILQ_EMPTY(&d->jobs))
		d->ended = true;
	if (!d->opt.idle_exit)
		return;
	if (!is_idle(d))
		hp_timer_clear(d->ring, &d->idle);
	else if (!d->idle.at_ns)
		hp_timer_set(d->ring, &d->idle, hp_now_ns() + d->opt.idle_ns);
}

static void idle_fired(struct hp_timer *t)
{
	struct hp_daemon *d = (struct hp_daemon *)((char *)t - offsetof(struct hp_daemon, idle));
	struct pollfd next[] = {{.fd = d->listen_fd, .events = POLLIN},
				{.fd = d->front.sock, .events = POLLIN}};

	/* One who has connected in this very moment is served. */
	if (poll(next, 2, 0) > 0) {
		hp_timer_set(d->ring, t, hp_now_ns() + d->opt.idle_ns);
		return;
	}
	hp_debug("nobody needs us");
	d->ended = true;
}

size_t hp_daemon_conns(const struct hp_daemon *d)
{
	const struct hp_serve *l;
	size_t n = d->n_conns;

	TAILQ_FOREACH(l, &d->listeners, link)
		n += l->n_conns;
	return n;
}

void hp_daemon_count(struct hp_daemon *d, uint32_t id, size_t n)
{
	struct hp_serve *l = id ? hp_serve_find(d, id) : NULL;

	if (!id)
		d->n_conns = n;
	else if (l) /* it may have ended meanwhile */
		l->n_conns = n;
	hp_daemon_settle(d);
}

void hp_daemon_uncount(struct hp_daemon *d)
{
	struct hp_serve *l;

	TAILQ_FOREACH(l, &d->listeners, link)
		l->n_conns = 0;
	d->n_conns = 0;
	hp_daemon_settle(d);
}

static void patience_fired(struct hp_timer *t)
{
	struct hp_daemon *d = (struct hp_daemon *)((char *)t -
						   offsetof(struct hp_daemon, patience));
	struct hp_job *job;

	TAILQ_FOREACH(job, &d->jobs, link)
		if (!job->answered)
			hp_log(HP_LOG_WARNING,
			       "%s of process %d is cut short; the next hpd puts it right",
			       hp_job_kind_name(job->req.kind), job->req.pid);
	d->ended = true;
}

static void stop(struct hp_daemon *d)
{
	struct hp_err why = {-HP_E_UNREACHABLE, "hpd is about to end"};
	struct hp_subject *s, *after_s;
	struct hp_job *job;

	d->stopping = true;
	hp_manager_stopping(&d->manager);
	if (d->manager.listen_fd < 0)
		hp_listen_unlink(d->opt.socket);
	hp_front_stop(&d->front);
	hp_serve_end_all(d);
	hp_timer_set(d->ring, &d->patience, hp_now_ns() + PATIENCE_NS);
	hp_events_end(d);
	/* They only watch a drain that goes on without us. */
	TAILQ_FOREACH(job, &d->jobs, link)
		if (job->answered && job->req.kind == HP_JOB_RESTART)
			hp_job_stop(job, false);
	hp_turns_dismiss(d, &why);
	for (s = TAILQ_FIRST(&d->subjects); s; s = after_s) {
		after_s = TAILQ_NEXT(s, link);
		hp_subject_dismiss(s, &why);
	}
	hp_daemon_settle(d);
}

/* One that cannot be read changes nothing: neither more nor fewer may than before. */
static void read_policy_again(struct hp_daemon *d)
{
	struct hp_err err;

	if (hp_access_read(&d->access, d->opt.policy, &err) < 0 ||
	    hp_listen_open_to(d->opt.socket, hp_policy_is_open(&d->access.policy), &err) < 0)
		hp_log(HP_LOG_ERROR, "SIGHUP: the policy stays as it was: %s", err.text);
	else
		hp_log(HP_LOG_INFO, "SIGHUP: the policy was read again");
}

static void signal_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_daemon *d = (struct hp_daemon *)((char *)op -
						   offsetof(struct hp_daemon, signal));

	if (res == sizeof(d->siginfo) && d->siginfo.ssi_signo == SIGHUP) {
		read_policy_again(d);
	} else if (res == sizeof(d->siginfo) && d->siginfo.ssi_signo == SIGCHLD) {
		hp_jobs_put_on(d);
	} else if (res == sizeof(d->siginfo)) {
		hp_log(HP_LOG_INFO, "SIG%s: ending%s",
		       sigabbrev_np((int)d->siginfo.ssi_signo) ?: "?",
		       TAILQ_EMPTY(&d->jobs) ? "" : " when what runs is done");
		if (d->stopping)
			d->ended = true; /* told twice */
		else
			stop(d);
	}
	hp_ring_read(d->ring, op, d->signal_fd, &d->siginfo, sizeof(d->siginfo));
}

static int open_signals(struct hp_daemon *d, struct hp_err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return d->signal_fd < 0 ? hp_err_sys(err, errno, "signalfd") : 0;
}

/* Connections, jobs, views: more than the usual 1024 descriptors. */
static void raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r); /* then with fewer */
	}
}

static int open_all(struct hp_daemon *d, struct hp_err *err)
{
	const uint8_t *template;
	struct hp_err no_bpf;
	size_t n;
	int k;

	raise_nofile();
	k = hp_manager_take(&d->manager, d->opt.socket, err);
	if (k == 0)
		k = hp_access_read(&d->access, d->opt.policy, err);
	if (k < 0)
		return k;
	k = hp_listen_open(d->opt.socket, d->opt.ready_fd >= 0, d->manager.listen_fd, &d->lock_fd,
			   &d->listen_fd, err);
	if (k == 0)
		k = hp_listen_open_to(d->opt.socket, hp_policy_is_open(&d->access.policy), err);
	if (k < 0)
		return k;
	if (mkdir(d->opt.state_dir, 0755) < 0 && errno != EEXIST)
		return hp_err_sys(err, errno, "state directory %s", d->opt.state_dir);
	d->claims_fd = hp_claims_open();
	if (d->claims_fd < 0)
		return hp_err_sys(err, -d->claims_fd, "claims on processes, in /run/hp");
	k = open_signals(d, err);
	if (k == 0) /* which makes ready while the rest is opened */
		k = hp_front_start(&d->front, d, err);
	if (k == 0)
		k = hp_ring_open(&d->ring, HP_RING_MONITOR, err);
	if (k < 0)
		return k;
	hp_front_attend(&d->front);
	/* For the jobs to inherit; the load that has no memory for it says so. */
	(void)hp_template_file(&template, &n);
	for (enum hp_role role = 0; role < HP_ROLES; role++)
		if ((k = hp_confine_prepare(role, err)) < 0)
			return k;
	if (hp_watch_open(&d->watch, &no_bpf) < 0) {
		d->watch = NULL;
		snprintf(d->watch_why, sizeof(d->watch_why), "%.255s", no_bpf.text);
		hp_log(HP_LOG_WARNING, "no BPF, so calls are not counted: %s", no_bpf.text);
	}
	return hp_caps_monitor(err);
}

static void close_all(struct hp_daemon *d)
{
	struct hp_job *job;

	hp_front_free(&d->front);
	hp_clients_leave(d);
	if (d->listen_fd >= 0 && !d->stopping && d->manager.listen_fd < 0)
		hp_listen_unlink(d->opt.socket);
	hp_turns_free(d);
	while ((job = TAILQ_FIRST(&d->jobs))) {
		TAILQ_REMOVE(&d->jobs, job, link);
		hp_job_free(job); /* its process ends with us */
	}
	hp_families_free(d);
	hp_guard_end(d);
	hp_status_end(d);
	hp_targets_free(d);
	hp_watch_close(d->watch);
	hp_ring_free(d->ring);
	hp_serve_free_all(d);
	hp_close(&d->signal_fd);
	hp_close(&d->listen_fd);
	hp_close(&d->claims_fd);
	hp_close(&d->lock_fd);
	hp_access_free(&d->access);
}

static void maybe_begin(struct hp_daemon *d)
{
	if (d->stopping || !d->found || !d->fronted || d->front.listens)
		return;
	hp_front_begin(&d->front);
	hp_log(HP_LOG_INFO, "serving %s", d->opt.socket);
	if (d->opt.ready_fd >= 0)
		(void)hp_write_all(d->opt.ready_fd, "\n", 1); /* who waited may have left */
	hp_close(&d->opt.ready_fd);
	hp_manager_ready(&d->manager, d->ring);
	hp_daemon_settle(d);
}

void hp_daemon_begin(struct hp_daemon *d)
{
	d->found = true;
	maybe_begin(d);
}

void hp_daemon_fronted(struct hp_daemon *d)
{
	d->fronted = true;
	maybe_begin(d);
}

void hp_daemon_fail(struct hp_daemon *d, const char *why)
{
	snprintf(d->failed, sizeof(d->failed), "%s", *why ? why : "it said nothing");
	d->ended = true;
}

static int serve(struct hp_daemon *d, struct hp_err *err)
{
	int k = 0;

	hp_ring_read(d->ring, &d->signal, d->signal_fd, &d->siginfo, sizeof(d->siginfo));
	hp_targets_recover(d);
	while (k == 0 && !d->ended) {
		k = hp_ring_turn(d->ring, err);
		hp_serve_sweep(d);
	}
	if (k == 0 && *d->failed)
		k = hp_err_set(err, -HP_E_FAILED, "front does not start: %s", d->failed);
	return k;
}

int hp_daemon_run(const struct hp_daemon_options *opt, struct hp_err *err)
{
	struct hp_daemon d = {
		.opt = *opt,
		.lock_fd = -1,
		.listen_fd = -1,
		.front = {.pidfd = -1, .sock = -1, .client_fd = -1},
		.signal_fd = -1,
		.claims_fd = -1,
		.signal.done = signal_done,
		.idle.fire = idle_fired,
		.patience.fire = patience_fired,
		.started_ns = hp_now_ns(),
		.started_wall_ns = hp_wall_ns(),
	};
	int k;

	TAILQ_INIT(&d.clients);
	TAILQ_INIT(&d.front.queue);
	TAILQ_INIT(&d.listeners);
	TAILQ_INIT(&d.jobs);
	TAILQ_INIT(&d.turns.waiting);
	TAILQ_INIT(&d.subjects);
	TAILQ_INIT(&d.viewed);
	TAILQ_INIT(&d.watchers);
	TAILQ_INIT(&d.families);
	TAILQ_INIT(&d.dropped);
	TAILQ_INIT(&d.status.asked);
	TAILQ_INIT(&d.status.told);
	k = open_all(&d, err);
	if (k == 0)
		k = serve(&d, err);
	close_all(&d);
	return k;
}
