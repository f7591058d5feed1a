/* SPDX-License-Identifier: MIT */
#include "daemon/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defaults.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/family.h"
#include "daemon/json_out.h"
#include "ipc/json.h"
#include "watch/watch.h"

static json_t *job_status(const struct hp_job *job)
{
	return json_pack("{s:s,s:s,s:b,s:I,s:i}", "kind", hp_job_kind_name(job->req.kind), "step",
			 job->step, "answered", job->answered, "ns",
			 (json_int_t)(hp_now_ns() - job->since_ns), "hpd_child", (int)job->child);
}

/* Running jobs, and those that have answered and still detach their probes. */
static json_t *jobs_of(const struct hp_daemon *d, const struct hp_subject *s)
{
	json_t *a = json_array();
	struct hp_job *job;

	TAILQ_FOREACH(job, &d->jobs, link)
		if (job->subject == s && json_array_append_new(a, job_status(job)) < 0)
			break;
	return a;
}

static bool gate_closed(const struct hp_subject *s)
{
	return s->running && s->running->gate_closed;
}

void hp_subject_comm(const struct hp_subject *s, char *buf, size_t n)
{
	char path[32];
	FILE *f;

	*buf = 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", s->pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(buf, (int)n, f))
		buf[strcspn(buf, "\n")] = 0;
	fclose(f);
}

static json_t *subject_status(const struct hp_daemon *d, const struct hp_subject *s)
{
	const struct hp_session_state *state = s->view ? hp_view_state(s->view) : NULL;
	char comm[64];

	hp_subject_comm(s, comm, sizeof(comm));
	return json_pack("{s:i,s:o,s:I,s:I,s:o,s:i,s:b,s:b,s:I,s:s?,s:i,s:o}", "pid", (int)s->pid,
			 "comm", hp_json_text(comm), "patches", (json_int_t)s->patches, "functions",
			 (json_int_t)s->functions, "jobs",
			 jobs_of(d, s), "queued", (int)s->queued, "gate_closed", gate_closed(s),
			 "counting", state && state->session, "in_flight",
			 (json_int_t)(state && state->session ? state->total : 0), "pins",
			 s->view ? hp_view_dir(s->view) : NULL, "call_watchers",
			 (int)s->call_watchers, "guard", hp_guard_status(s));
}

json_t *hp_subject_event(const struct hp_subject *s)
{
	char comm[64];

	hp_subject_comm(s, comm, sizeof(comm));
	return hp_event_new("patches", s->pid,
			    json_pack("{s:o,s:I,s:I,s:b,s:b}", "comm", hp_json_text(comm),
				      "patches", (json_int_t)s->patches, "functions",
				      (json_int_t)s->functions, "retained", s->retry_ns != 0,
				      "gate_closed", gate_closed(s)));
}

json_t *hp_status(const struct hp_daemon *d, pid_t pid)
{
	json_t *targets = json_array();
	struct hp_subject *s;

	TAILQ_FOREACH(s, &d->subjects, link) {
		if (s->gone || (pid && s->pid != pid))
			continue;
		if (json_array_append_new(targets, subject_status(d, s)) < 0)
			break;
	}
	return json_pack("{s:i,s:{s:i,s:s,s:o,s:I,s:s,s:s,s:b,s:i,s:i},s:{s:b,s:s},s:s,s:o,s:o,s:o}",
			 "schema", 1, "hpd", "pid", (int)getpid(), "version", HP_VERSION,
			 "started", hp_json_time(d->started_wall_ns), "uptime_ns",
			 (json_int_t)(hp_now_ns() - d->started_ns), "socket", d->opt.socket,
			 "state_dir", d->opt.state_dir, "private", d->opt.idle_exit, "clients",
			 (int)hp_daemon_conns(d), "waiting", (int)d->turns.n_waiting, "bpf", "on",
			 d->watch != NULL, "why", d->watch_why,
			 "ring", hp_ring_features(d->ring), "targets", targets, "other_jobs",
			 jobs_of(d, NULL), "families", hp_families_status(d));
}
