/* SPDX-License-Identifier: MIT */
/* What is found out, and refused, before anything is started. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/pidfile.h"
#include "restart/shield.h"
#include "restart/supervisor.h"
#include "restart/takeaway.h"
#include "service/identity.h"
#include "target/procfs.h"
#include "target/target.h"

static int permitted(const struct hp_supervisor *s, const struct hp_identity *id, struct hp_err *err)
{
	return s->permit->ask ? s->permit->ask(s->permit->arg, id->t, -1, NULL, err) : 0;
}

/* Who this process is: the refusals of target/target.h hold here too. */
static int identify(struct hp_supervisor *s, const struct hp_identity *id, struct hp_err *err)
{
	struct hp_generation *g = &s->generation;
	const struct hp_target *t = id->t;
	int r = permitted(s, id, err);

	g->old = t->pid;
	g->old_start = t->start_time;
	g->since_ns = hp_wall_ns();
	g->state = "starting";
	g->old_state = "serving";
	(void)snprintf(g->comm, sizeof(g->comm), "%s", t->comm);
	if (r == 0)
		r = hp_generation_of(g->old, g->old_start, &g->number, err);
	g->number++;
	return r;
}

/* A worker has its listeners from somebody who would go on. */
static int refuse_worker(struct hp_supervisor *s, struct hp_err *err)
{
	struct hp_listeners theirs = {0};
	struct hp_procs parent = {0};
	struct hp_stat st;
	pid_t ppid;
	int r = 0;

	if (hp_stat_read(s->req->pid, &st) < 0)
		return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)s->req->pid);
	ppid = (pid_t)st.field[HP_STAT_PPID];
	parent.v = &ppid;
	parent.n = 1;
	if (ppid > 1)
		r = hp_listeners_read(&theirs, &parent, false, err);
	for (size_t i = 0; r == 0 && i < theirs.n; i++)
		if (hp_listeners_find(&s->listeners, theirs.v[i].ino))
			r = hp_err_set(err, -HP_E_LISTENERS,
				       "process %d has the listener %s in common with its parent; "
				       "restart that one: %d",
				       (int)s->req->pid, theirs.v[i].text, (int)ppid);
	hp_listeners_free(&theirs);
	return r;
}

/* Where there is nothing else, they are the service. */
static void require_one(struct hp_listeners *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i].optional)
			return;
	for (size_t i = 0; i < l->n; i++)
		l->v[i].optional = false;
}

static int take_inventory(struct hp_supervisor *s, struct hp_err *err)
{
	int r = hp_procs_below(&s->group, s->req->pid, true);

	if (r < 0)
		return hp_err_sys(err, -r, "processes below %d", (int)s->req->pid);
	r = hp_listeners_read(&s->listeners, &s->group, true, err);
	if (r == 0 && !s->listeners.n)
		r = hp_err_set(err, -HP_E_LISTENERS,
			       "process %d (%s) has no listeners: there is nothing to hand over",
			       (int)s->req->pid, s->generation.comm);
	require_one(&s->listeners);
	return r == 0 ? refuse_worker(s, err) : r;
}

/* Those that somebody has left to the process.  Of what has the set of PID 1 whole nobody has chosen
 * it: there it is what a process without all of root's rights holds. */
static uint64_t chosen_caps(const struct hp_creds *c, pid_t pid)
{
	uint64_t all = 0, held = 0;

	if (hp_status_number(1, "CapBnd", 16, &all) && all & ~c->bounding)
		return c->bounding;
	(void)hp_status_number(pid, "CapPrm", 16, &held); /* it has ended: that is found out elsewhere */
	return all & ~held ? held : 0;
}

/* What the new one cannot have, and may need. */
static void tell_losses(struct hp_supervisor *s)
{
	char text[HP_WARNING_TEXT];
	uint64_t ours = ~0ull, caps = chosen_caps(&s->spec.creds, s->req->pid), filters = 0;
	uint64_t withheld = hp_creds_withheld(&s->spec.creds);

	if (*s->spec.left_out) {
		(void)snprintf(text, sizeof(text),
			       "the environment that the old process was started with: %s",
			       s->spec.left_out);
		hp_supervisor_warn(s, text);
	}
	if (withheld) {
		(void)snprintf(text, sizeof(text),
			       "the old process has given up the capabilities %#" PRIx64
			       " of root's, which the new one will not have either (capsh --decode)",
			       withheld);
		hp_supervisor_warn(s, text);
	}
	if (hp_status_number(getpid(), "CapBnd", 16, &ours) && caps & ~ours) {
		(void)snprintf(text, sizeof(text),
			       "the new process is without the capabilities %#" PRIx64
			       ", which hpd has not (capsh --decode)",
			       caps & ~ours);
		hp_supervisor_warn(s, text);
	}
	/* What hp has started has one of hp's. */
	if (hp_status_number(s->req->pid, "Seccomp_filters", 10, &filters) &&
	    filters > (s->generation.number > 2)) {
		(void)snprintf(text, sizeof(text),
			       "the old process is under %" PRIu64
			       " seccomp filter%s, which the new one will not have",
			       filters, filters == 1 ? "" : "s");
		hp_supervisor_warn(s, text);
	}
}

/* A unit's PIDFile= is one only where the service writes it. */
static void choose_pidfile(struct hp_supervisor *s)
{
	const char *path;

	s->unit = s->spec.unit;
	path = s->req->pidfile ?: *s->unit.pidfile ? s->unit.pidfile : NULL;
	s->pidfile_was = path && hp_pidfile_read(s->req->pid, path) == s->req->pid;
	s->pidfile = s->req->pidfile || s->pidfile_was ? path : NULL;
}

/* That something listens is a thing to be left behind as well. */
static int listen_to_it(struct hp_supervisor *s, struct hp_err *err)
{
	if (s->req->no_residue && s->unit.tells)
		return hp_err_set(err, -HP_E_TARGET,
				  "%s tells systemd how it is (Type=notify), which a supervisor has to pass "
				  "on: with --no-residue there is none",
				  s->unit.name);
	if (s->req->no_residue && s->req->ready != HP_READY_NOTIFY && !s->spec.wants_ready) {
		hp_environ_drop(&s->spec, "NOTIFY_SOCKET");
		return 0;
	}
	return hp_environ_set(&s->spec, "NOTIFY_SOCKET", s->notify.name) < 0
		       ? hp_err_sys(err, ENOMEM, "environment")
		       : 0;
}

/* All of it is read of one process, and whoever asked may restart that one. */
static int describe(struct hp_supervisor *s, struct hp_err *err)
{
	struct hp_identity id;
	int r = hp_identity_take(&id, s->req->pid, err);

	if (r < 0)
		return r;
	r = identify(s, &id, err);
	if (r == 0)
		r = hp_spec_read(&s->spec, s->req, &id.creds, err);
	if (r == 0)
		r = take_inventory(s, err);
	if (r == 0)
		r = hp_retire_hold(&s->retire, id.t, &s->group, err);
	if (r == 0)
		r = hp_identity_confirm(&id, err);
	if (r == 0)
		r = permitted(s, &id, err);
	hp_identity_free(&id);
	return r;
}

/* Before there is one of them: should we be killed, they are found (repair.c). */
static void record_shields(void *arg)
{
	struct hp_supervisor *s = arg;

	s->generation.shielded = &s->listeners;
	hp_supervisor_record(s);
}

static int raise_shields(struct hp_supervisor *s, struct hp_err *err)
{
	int r;

	hp_supervisor_record(s);
	r = hp_shield_raise(&s->listeners, s->req->pid, record_shields, s, err);
	if (r < 0)
		s->generation.shielded = NULL;
	return r;
}

int hp_supervisor_prepare(struct hp_supervisor *s, struct hp_err *err)
{
	int r = describe(s, err);

	if (r < 0)
		return r;
	tell_losses(s);
	choose_pidfile(s);
	s->retire.listeners = &s->listeners;
	hp_retire_choose(&s->retire, s->req, s->generation.comm);
	if (s->retire.way == HP_DRAIN_EXTERNAL)
		r = hp_take_away_check(&s->group, err);
	if (r == 0)
		r = listen_to_it(s, err);
	return r == 0 ? raise_shields(s, err) : r;
}
