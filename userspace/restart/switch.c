/* SPDX-License-Identifier: MIT */
/*
 * From the switch on: the new generation waits at every address, and the supervisor works for
 * itself.  The old one is drained, and then the filter, if there is one, is kept until the last
 * process of the new one is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "restart/pidfile.h"
#include "restart/shield.h"
#include "restart/supervisor.h"
#include "target/procfs.h"

#define DRAIN_NS  (20 * HP_MS)
#define RECORD_NS (1 * HP_S)

/* The old one is told, or its listeners are taken, for the first time; then who asked may go. */
static void switch_over(struct hp_supervisor *s)
{
	struct hp_report r = {.kind = HP_REPORT_SWITCHED};
	struct hp_err err = {.text = ""};

	if (*s->unit.name)
		hp_supervisor_disown(s);
	s->substitution.closed = true;
	s->result.pid = s->generation.pid;
	s->result.old = s->req->pid;
	s->result.generation = s->generation.number;
	s->result.listeners = (unsigned)s->listeners.n;
	s->result.ready_ns = hp_now_ns() - s->begun_ns;
	s->generation.state = "serving";
	s->generation.old_state = "draining";
	s->generation.deadline_ns = hp_wall_ns() + s->req->drain_ns;
	hp_supervisor_record(s);
	hp_supervisor_step(s, "switch", "");
	/* Only optional ones are left: nobody but the old one has them. */
	hp_listeners_drop_unhanded(&s->listeners);
	r.code = hp_retire_begin(&s->retire, s->req->drain_ns, &err);
	if (r.code == 0 && s->retire.phase == HP_RETIRE_TAKING)
		r.code = hp_err_set(&err, -HP_E_PARTIAL,
				    "process %d serves, but the old one, %d, could not be kept from "
				    "serving too; hp goes on trying, and ends it when the time for its "
				    "drain is over",
				    (int)s->result.pid, (int)s->result.old);
	(void)snprintf(r.text, sizeof(r.text), "%s", err.text);
	r.result = s->result;
	hp_supervisor_say(s, &r);
}

/* The old one has left the listeners: those who have them now are the only ones. */
static void leave_listeners(struct hp_supervisor *s)
{
	struct hp_procs below = {0};

	if (hp_supervisor_below(s, &below) == 0)
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

static bool is_alive(pid_t pid, uint64_t start)
{
	struct hp_stat st;

	return hp_stat_read(pid, &st) == 0 && st.state != 'Z' &&
	       st.field[HP_STAT_START_TIME] == start;
}

/* What was taken for the main process may have ended, and left the service to what it had started. */
static void follow_main(struct hp_supervisor *s)
{
	struct hp_procs below = {0};

	if (s->all_ended || is_alive(s->generation.pid, s->generation.pid_start))
		return;
	if (hp_supervisor_below(s, &below) == 0 && below.n &&
	    hp_supervisor_find_main(s, &below, NULL) == 0)
		hp_supervisor_record(s);
	hp_procs_free(&below);
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
		if (!hp_supervisor_wait(s, hp_now_ns() + DRAIN_NS))
			hp_close(&s->sock);
		follow_main(s);
		hp_retire_step(&s->retire);
		s->generation.open = s->retire.open;
		s->generation.old_state = names[s->retire.phase];
		if (s->retire.phase != before || hp_now_ns() >= s->recorded_ns + RECORD_NS)
			hp_supervisor_record(s);
		before = s->retire.phase;
	}
}

static const char *why_no_pidfile(int r)
{
	if (r == -EINVAL)
		return "what is there is no regular file";
	if (r == -ELOOP)
		return "a link on the way could have been put there by others than root";
	return strerror(-r);
}

/* What the old generation removed at its end, or would not let be removed. */
static void tidy(struct hp_supervisor *s)
{
	const char *path = s->pidfile;
	struct hp_err err = {.text = ""};
	int r = path ? hp_pidfile_restore(path, s->generation.pid, s->generation.pid_start) : 0;
	char text[512];

	hp_shield_lower(&s->listeners, s->generation.pid);
	s->generation.shielded = NULL;
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "%s could not be written: %s", path,
			       why_no_pidfile(r));
		hp_supervisor_warn(s, text);
	}
	if (*s->unit.name && hp_unit_settle(&s->unit, s->generation.pid, &err) < 0)
		hp_supervisor_warn(s, err.text);
	s->generation.old_state = "gone";
	hp_supervisor_record(s);
}

static void tell_gone(struct hp_supervisor *s)
{
	struct hp_report r = {.kind = HP_REPORT_GONE, .drained = s->retire.drained};

	hp_supervisor_say(s, &r);
	hp_close(&s->sock);
}

static void keep(struct hp_supervisor *s)
{
	while (!s->all_ended && !s->req->no_residue) {
		(void)hp_supervisor_wait(s, UINT64_MAX); /* there is nobody left who could be gone */
		follow_main(s);
	}
	hp_generation_remove();
}

void hp_supervisor_switch(struct hp_supervisor *s)
{
	switch_over(s);
	drain(s);
	tidy(s);
	tell_gone(s);
	hp_retire_free(&s->retire);
	keep(s);
}
