/* SPDX-License-Identifier: MIT */
/*
 * The supervisor, from its birth to the switch, and then until the last process of what it started
 * is gone.
 *
 * Until the switch it has touched nothing but O_NONBLOCK of a shared file, and what it started dies
 * with whoever asked (the end of its socket).  At the switch the new generation waits at every
 * address; from then on the supervisor works for itself.
 */
#include "restart/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "hp/err.h"
#include "restart/connections.h"
#include "restart/pidfile.h"
#include "restart/shield.h"
#include "restart/supervisor.h"
#include "restart/takeaway.h"
#include "target/procfs.h"

/* The time between two looks for whether it is ready: short at first, when much happens. */
#define LOOK_MIN_NS (2 * HP_MS)
#define LOOK_MAX_NS (50 * HP_MS)
#define DRAIN_NS    (20 * HP_MS)
#define RECORD_NS   (1 * HP_S)
#define TAKE_NS	    (2 * HP_S)

/* --- saying -------------------------------------------------------------------------------------- */

static void say(struct hp_supervisor *s, struct hp_report *r)
{
	/* Whoever asked may have left: before the switch that is noticed in wait_for(). */
	if (s->sock >= 0)
		(void)hp_send_fds(s->sock, r, sizeof(*r), NULL, 0);
}

void hp_supervisor_step(struct hp_supervisor *s, const char *step, const char *text)
{
	struct hp_report r = {.kind = HP_REPORT_STEP, .ns = hp_now_ns() - s->begun_ns};

	(void)snprintf(r.step, sizeof(r.step), "%s", step);
	(void)snprintf(r.text, sizeof(r.text), "%s", text);
	say(s, &r);
}

static void warn(struct hp_supervisor *s, const char *text)
{
	if (s->result.n_warnings < HP_WARNINGS_MAX)
		(void)snprintf(s->result.warning[s->result.n_warnings++], HP_WARNING_TEXT,
			       "%.*s", HP_WARNING_TEXT - 1, text);
	hp_supervisor_step(s, "warning", text);
}

static void on_substitution(void *arg, bool warning, const char *text)
{
	struct hp_supervisor *s = arg;

	if (warning)
		warn(s, text);
	else
		hp_supervisor_step(s, "bind", text);
	s->look_ns = LOOK_MIN_NS; /* something happens */
}

static void on_retire(void *arg, const char *step, const char *text)
{
	hp_supervisor_step(arg, step, text);
}

/* Nobody has to read it: a restart does not fail for it. */
static void record(struct hp_supervisor *s)
{
	(void)hp_generation_write(&s->generation);
	s->recorded_ns = hp_now_ns();
}

/* --- waiting ------------------------------------------------------------------------------------- */

static void take_ready(struct hp_supervisor *s)
{
	struct hp_notified said;
	struct hp_procs below = {0};

	while (hp_notify_take(&s->notify, &said)) {
		if (hp_procs_below(&below, getpid(), false) < 0 || !hp_procs_have(&below, said.from))
			continue;
		s->said_ready |= said.ready;
		if (said.main_pid && hp_procs_have(&below, said.main_pid))
			s->said_main = said.main_pid;
		s->look_ns = 0;
	}
	hp_procs_free(&below);
}

static void reap(struct hp_supervisor *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)!read(s->signal_fd, &info, sizeof(info)); /* waitpid() tells all there is */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->first) {
			s->first_ended = true;
			s->first_status = status;
		}
}

/* Until @deadline_ns, or something of interest happened.  False: who asked is gone. */
static bool wait_for(struct hp_supervisor *s, uint64_t deadline_ns)
{
	struct pollfd p[] = {
		{.fd = s->sock, .events = POLLIN},
		{.fd = s->substitution.notify_fd, .events = POLLIN},
		{.fd = s->signal_fd, .events = POLLIN},
		{.fd = s->notify.fd, .events = POLLIN},
	};
	uint64_t now = hp_now_ns();
	int64_t ms = deadline_ns > now ? (int64_t)((deadline_ns - now + HP_MS - 1) / HP_MS) : 0;

	if (poll(p, 4, deadline_ns == UINT64_MAX ? -1 : (int)(ms < 1000 ? ms : 1000)) < 0)
		return true;
	if (p[1].revents & POLLIN)
		(void)hp_substitute(&s->substitution);
	else if (p[1].revents)
		s->all_ended = true;
	if (p[2].revents)
		reap(s);
	if (p[3].revents)
		take_ready(s);
	return !p[0].revents;
}

/* --- until the switch ---------------------------------------------------------------------------- */

static int check_alive(struct hp_supervisor *s, const struct hp_procs *below, struct hp_err *err)
{
	int st = s->first_status;

	if (s->first_ended && WIFSIGNALED(st))
		return hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process died by SIG%s before it was ready; the old one "
				  "serves on",
				  sigabbrev_np(WTERMSIG(st)) ?: "?");
	if (s->first_ended && WEXITSTATUS(st))
		return hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process exited with status %d before it was ready; the old "
				  "one serves on",
				  WEXITSTATUS(st));
	if (below->n == 0)
		return hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process ended before it was ready; the old one serves on");
	return 0;
}

static int abandoned(struct hp_err *err)
{
	return hp_err_set(err, -ECANCELED, "who asked for the restart is gone");
}

/* Starts the new one, and returns when it waits at every address. */
static int become_ready(struct hp_supervisor *s, struct hp_err *err)
{
	uint64_t deadline_ns = s->begun_ns + s->req->ready_ns, next;
	struct hp_procs below = {0};
	int r = 0, ready = 0;

	s->look_ns = LOOK_MIN_NS;
	for (next = 0; r == 0 && !ready;) {
		if (!wait_for(s, next)) {
			r = abandoned(err);
			break;
		}
		if (hp_now_ns() < next && s->look_ns)
			continue;
		r = hp_procs_below(&below, getpid(), false);
		if (r < 0)
			r = hp_err_sys(err, -r, "processes of the new generation");
		/* What has ended and was not seen yet is not below us any more. */
		reap(s);
		if (r == 0)
			r = check_alive(s, &below, err);
		if (r == 0)
			r = ready = hp_supervisor_is_ready(s, &below, err);
		if (r == 0 && hp_now_ns() >= deadline_ns)
			r = hp_supervisor_not_ready(s, &below, err);
		s->look_ns = s->look_ns * 2 < LOOK_MAX_NS ? s->look_ns * 2 : LOOK_MAX_NS;
		if (!s->look_ns)
			s->look_ns = LOOK_MIN_NS;
		next = hp_now_ns() + s->look_ns;
	}
	if (r >= 0)
		r = hp_supervisor_find_main(s, &below, err);
	hp_procs_free(&below);
	return r;
}

static int start(struct hp_supervisor *s, struct hp_err *err)
{
	int r = hp_supervisor_prepare(s, err);

	if (r < 0)
		return r;
	hp_supervisor_step(s, "start", s->spec.file);
	record(s);
	r = hp_generation_spawn(&s->spec, &s->first, &s->substitution.notify_fd, err);
	hp_spec_free(&s->spec);
	return r == 0 ? become_ready(s, err) : r;
}

/* It may have taken connections already, before it was found wanting: they are served. */
static void drain_new(struct hp_supervisor *s)
{
	uint64_t deadline_ns = hp_now_ns() + s->req->drain_ns;
	struct hp_connections open = {0};
	struct hp_procs below = {0};
	bool handed = false;

	for (size_t i = 0; i < s->listeners.n; i++)
		handed |= s->listeners.v[i].handed;
	if (!handed || hp_procs_below(&below, getpid(), false) < 0 || !below.n)
		return;
	/* Where that is not possible, it is as good as crashed. */
	if (hp_take_away(&below, &s->listeners, hp_now_ns() + TAKE_NS, NULL) == 0)
		while (hp_connections_read(&open, &below, &s->listeners) == 0 && open.n &&
		       hp_now_ns() < deadline_ns)
			hp_pause_ns(LOOK_MIN_NS);
	hp_connections_free(&open);
	hp_procs_free(&below);
}

static void undo(struct hp_supervisor *s)
{
	drain_new(s);
	(void)hp_procs_kill_below(); /* what cannot be killed, hp cannot help */
	if (s->shielded)
		hp_shield_lower(&s->listeners, s->req->pid);
	hp_generation_remove();
}

/* --- from the switch on -------------------------------------------------------------------------- */

/* The old one is told, or its listeners are taken, for the first time; then who asked may go. */
static void switch_over(struct hp_supervisor *s)
{
	struct hp_report r = {.kind = HP_REPORT_SWITCHED};
	struct hp_err err = {.text = ""};

	s->substitution.closed = true;
	s->result.pid = s->generation.pid;
	s->result.old = s->req->pid;
	s->result.generation = s->generation.number;
	s->result.listeners = (unsigned)s->listeners.n;
	s->result.ready_ns = hp_now_ns() - s->begun_ns;
	s->generation.state = "serving";
	s->generation.old_state = "draining";
	s->generation.deadline_ns = hp_wall_ns() + s->req->drain_ns;
	record(s);
	hp_supervisor_step(s, "switch", "");
	/* Only optional ones are left: nobody but the old one has them. */
	hp_listeners_drop_unhanded(&s->listeners);
	r.code = hp_retire_begin(&s->retire, &s->group, s->req->drain_ns, &err);
	if (r.code == 0 && s->retire.phase == HP_RETIRE_TAKING)
		r.code = hp_err_set(&err, -HP_E_PARTIAL,
				    "process %d serves, but the old one, %d, could not be kept from "
				    "serving too; hp goes on trying, and ends it when the time for its "
				    "drain is over",
				    (int)s->result.pid, (int)s->result.old);
	(void)snprintf(r.text, sizeof(r.text), "%s", err.text);
	r.result = s->result;
	say(s, &r);
}

/* The old one has left the listeners: those who have them now are the only ones. */
static void leave_listeners(struct hp_supervisor *s)
{
	struct hp_procs below = {0};

	if (hp_procs_below(&below, getpid(), false) == 0)
		hp_substitution_settle(&s->listeners, &below);
	hp_procs_free(&below);
	hp_listeners_close(&s->listeners);
}

/* Of a program that drains itself that is known when it is gone. */
static bool has_left(const struct hp_supervisor *s)
{
	enum hp_retire_phase until =
		s->retire.way == HP_DRAIN_EXTERNAL ? HP_RETIRE_TAKING : HP_RETIRE_STOPPING;

	return s->retire.phase > until;
}

/* Our own duplicates: a listener must end with its last process, and not be a queue that nobody
 * serves. */
static void leave_ordinary(struct hp_supervisor *s)
{
	for (size_t i = 0; i < s->listeners.n; i++)
		if (!s->listeners.v[i].to_nonblock)
			hp_close(&s->listeners.v[i].fd);
}

static void drain(struct hp_supervisor *s)
{
	static const char *const names[] = {
		[HP_RETIRE_TAKING] = "serving",
		[HP_RETIRE_DRAINING] = "draining",
		[HP_RETIRE_STOPPING] = "stopping",
		[HP_RETIRE_GONE] = "gone",
	};
	enum hp_retire_phase before = HP_RETIRE_TAKING;
	bool left = false;

	leave_ordinary(s);
	for (;;) {
		if (!left && has_left(s)) {
			left = true;
			leave_listeners(s);
		}
		if (s->retire.phase == HP_RETIRE_GONE)
			return;
		if (!wait_for(s, hp_now_ns() + DRAIN_NS))
			hp_close(&s->sock);
		hp_retire_step(&s->retire);
		s->generation.open = s->retire.open;
		s->generation.old_state = names[s->retire.phase];
		if (s->retire.phase != before || hp_now_ns() >= s->recorded_ns + RECORD_NS)
			record(s);
		before = s->retire.phase;
	}
}

/* What the old generation removed at its end, or would not let be removed. */
static void tidy(struct hp_supervisor *s)
{
	const char *path = s->req->pidfile;
	int r = path ? hp_pidfile_restore(path, s->generation.pid) : 0;
	char text[512];

	hp_shield_lower(&s->listeners, s->generation.pid);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "%s could not be written: %s", path, strerror(-r));
		warn(s, text);
	}
	s->generation.old_state = "gone";
	record(s);
}

static void tell_gone(struct hp_supervisor *s)
{
	struct hp_report r = {.kind = HP_REPORT_GONE, .drained = s->retire.drained};

	say(s, &r);
	hp_close(&s->sock);
}

static void keep(struct hp_supervisor *s)
{
	while (!s->all_ended)
		(void)wait_for(s, UINT64_MAX); /* there is nobody left who could be gone */
	hp_generation_remove();
}

/* --- the process --------------------------------------------------------------------------------- */

/* Or what is opened next would become somebody's standard output. */
static int fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int begin(struct hp_supervisor *s)
{
	char name[32];
	sigset_t child;
	int r = hp_helper_begin("hpd-supervise", &s->sock, 1);

	if (r == 0)
		r = fill_stdio();
	if (r < 0)
		return r;
	/* A helper ignores it, and then children leave no status. */
	(void)signal(SIGCHLD, SIG_DFL); /* cannot fail */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, NULL); /* cannot fail */
	s->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -errno;
	(void)snprintf(name, sizeof(name), HP_NOTIFY_PREFIX "%d", (int)getpid());
	return hp_notify_listen(&s->notify, name);
}

void hp_supervise(const struct hp_restart_request *req, const struct hp_ops_permit *permit, int sock)
{
	static struct hp_supervisor s;
	struct hp_report failed = {.kind = HP_REPORT_FAILED};
	struct hp_err err = {.text = ""};
	int r;

	s = (struct hp_supervisor){.req = req,
				   .permit = permit,
				   .sock = sock,
				   .signal_fd = -1,
				   .notify = {.fd = -1},
				   .begun_ns = hp_now_ns(),
				   .substitution = {.notify_fd = -1,
						    .listeners = &s.listeners,
						    .tell = on_substitution,
						    .arg = &s},
				   .retire = {.tell = on_retire, .arg = &s}};
	r = begin(&s);
	if (r < 0)
		(void)hp_err_sys(&err, -r, "supervisor of the restart");
	else
		r = start(&s, &err);
	if (r < 0) {
		undo(&s);
		failed.code = r;
		(void)snprintf(failed.text, sizeof(failed.text), "%s", err.text);
		say(&s, &failed);
		_exit(1);
	}
	switch_over(&s);
	drain(&s);
	tidy(&s);
	tell_gone(&s);
	hp_retire_free(&s.retire);
	keep(&s);
	_exit(0);
}
