/* SPDX-License-Identifier: MIT */
/*
 * The new generation, from its start until it is ready, or gone without a trace.
 *
 * Until then the old one is as it was.  What has been done around it is undone with the new one: mounts
 * on the paths of its unix sockets (shield.h), and, as the last step, what systemd was told (unit.h).
 * What was started dies with whoever asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "restart/pidfile.h"
#include "restart/shield.h"
#include "restart/supervisor.h"
#include "restart/takeaway.h"
#include "service/connections.h"

#define LOOK_MAX_NS (50 * HP_MS)
#define LOOK_SHARE  10 /* one part of a CPU's time, at most, goes into looks */
#define TAKE_NS	    (2 * HP_S)

static int check_alive(const struct hp_supervisor *s, struct hp_err *err)
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
	if (hp_procs_none_below())
		return hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process ended before it was ready; the old one serves on");
	return 0;
}

static int abandoned(struct hp_err *err)
{
	return hp_err_set(err, -ECANCELED, "who asked for the restart is gone");
}

/* Before anything is done to the old one: if systemd does not take it, all is as it was. */
static int tell_systemd(struct hp_supervisor *s, struct hp_err *err)
{
	hp_supervisor_step(s, "main-pid", s->unit.name);
	/* It is said in the old one's name, which by now might be a process of another unit. */
	if (!hp_pidfd_lives(s->retire.main_fd))
		return hp_err_set(err, -HP_E_GONE, "process %d has exited", (int)s->req->pid);
	return hp_unit_set_main(&s->unit, s->req->pid, s->generation.pid, err);
}

/* Of the threads that are traced.  False: who asked is gone. */
static bool let_some_go(struct hp_supervisor *s)
{
	hp_traced_leave(&s->traced);
	return !s->traced.n || hp_supervisor_wait(s, hp_now_ns() + HP_LOOK_MIN_NS);
}

static int let_go(struct hp_supervisor *s, uint64_t deadline_ns, struct hp_err *err)
{
	while (s->traced.n) {
		if (!let_some_go(s))
			return abandoned(err);
		if (s->traced.n && hp_now_ns() >= deadline_ns)
			return hp_err_set(err, -HP_E_NOT_READY,
					  "thread %d of the new program could not be let go in time: it "
					  "is in the middle of a system call; the old one serves on",
					  (int)s->traced.v[0].tid);
	}
	hp_traced_free(&s->traced);
	return 0;
}

/* A busy server is seen waiting for moments only, and others take its work from the same sockets. */
static uint64_t until_next_look(const struct hp_supervisor *s, uint64_t cpu_ns)
{
	uint64_t ns = cpu_ns * (LOOK_SHARE - 1);

	if (!s->holds_all || ns >= s->look_ns)
		return s->look_ns;
	return ns > HP_LOOK_MIN_NS ? ns : HP_LOOK_MIN_NS;
}

static int become_ready(struct hp_supervisor *s, struct hp_err *err)
{
	uint64_t deadline_ns = s->begun_ns + s->req->ready_ns, next, cpu_ns;
	struct hp_procs below = {0};
	int r = 0, ready = 0;

	s->look_ns = HP_LOOK_MIN_NS;
	for (next = 0; r == 0 && !ready;) {
		if (!hp_supervisor_wait(s, next)) {
			r = abandoned(err);
			break;
		}
		if (hp_now_ns() < next && s->look_ns)
			continue;
		cpu_ns = hp_cpu_ns();
		r = hp_procs_below(&below, getpid(), false);
		if (r < 0)
			r = hp_err_sys(err, -r, "processes of the new generation");
		/* What has ended and was not seen yet is not below us any more. */
		hp_supervisor_reap(s);
		if (r == 0)
			r = check_alive(s, err);
		if (r == 0)
			r = ready = hp_supervisor_is_ready(s, &below, err);
		if (r == 0 && hp_now_ns() >= deadline_ns)
			r = hp_supervisor_not_ready(s, &below, err);
		s->look_ns = s->look_ns * 2 < LOOK_MAX_NS ? s->look_ns * 2 : LOOK_MAX_NS;
		if (!s->look_ns)
			s->look_ns = HP_LOOK_MIN_NS;
		next = hp_now_ns() + until_next_look(s, hp_cpu_ns() - cpu_ns);
	}
	if (r >= 0)
		r = let_go(s, deadline_ns, err);
	if (r == 0)
		r = check_alive(s, err);
	if (r == 0)
		r = hp_supervisor_find_main(s, &below, err);
	hp_procs_free(&below);
	if (r == 0 && *s->unit.name)
		r = tell_systemd(s, err);
	return r;
}

int hp_supervisor_start(struct hp_supervisor *s, struct hp_err *err)
{
	int r = hp_supervisor_prepare(s, err);

	if (r < 0)
		return r;
	hp_supervisor_step(s, "start", s->spec.file);
	r = hp_generation_spawn(&s->spec, s->req->no_residue ? &s->traced : NULL, &s->first,
				&s->notify_fd, err);
	hp_spec_free(&s->spec);
	if (r < 0)
		return r;
	s->generation.pid = s->first;
	s->generation.pid_start = hp_generation_start_of(s->first);
	hp_supervisor_record(s);
	return become_ready(s, err);
}

/* Who wanted it not to block, and was not heard, would be blocked for ever in what takes its place. */
static void want_as_it_did(struct hp_listeners *now, const struct hp_listeners *handed)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct hp_listener *l = hp_listeners_find(handed, now->v[i].ino);

		if (l && l->to_nonblock)
			now->v[i].status |= O_NONBLOCK;
	}
}

/* It may have taken connections already, before it was found wanting: they are served. */
static void drain_new(struct hp_supervisor *s)
{
	uint64_t deadline_ns = hp_now_ns() + s->req->drain_ns;
	struct hp_connections open = {0};
	struct hp_listeners now = {0};
	struct hp_procs below = {0};
	int *held = NULL;

	/* Where that is not possible, it is as good as crashed. */
	if (hp_procs_below(&below, getpid(), false) == 0 && below.n &&
	    hp_procs_hold(&below, getpid(), -1, &held) == 0 &&
	    hp_listeners_read(&now, &below, false, NULL) == 0)
		want_as_it_did(&now, &s->listeners);
	if (now.n && hp_take_away(&below, held, &now, hp_now_ns() + TAKE_NS, NULL) == 0)
		while (hp_connections_read(&open, &below, &now) == 0 && open.n &&
		       hp_now_ns() < deadline_ns)
			hp_pause_ns(HP_LOOK_MIN_NS);
	hp_connections_free(&open);
	hp_listeners_free(&now);
	hp_procs_let_go(&below, held);
	hp_procs_free(&below);
}

void hp_supervisor_undo(struct hp_supervisor *s)
{
	uint64_t deadline_ns = hp_now_ns() + TAKE_NS;

	while (s->traced.n && hp_now_ns() < deadline_ns)
		(void)let_some_go(s); /* whoever asked, its clients did not */
	drain_new(s);
	(void)hp_procs_kill_below(); /* what cannot be killed, hp cannot help */
	if (s->generation.shielded)
		hp_shield_lower(&s->listeners, s->req->pid);
	if (s->pidfile_was)
		(void)hp_pidfile_restore(s->pidfile, s->generation.old,
					 s->generation.old_start); /* where the new one wrote it, it can be */
	hp_generation_remove();
}
