/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/output.h"

#define LASTS_MAX 1024

void hp_top_free(struct hp_top *t)
{
	HP_ARRAY_FREE(&t->targets);
	HP_ARRAY_FREE(&t->fns);
	HP_ARRAY_FREE(&t->lasts);
}

/* --- targets ------------------------------------------------------------------------------------- */

static struct hp_top_target *find(const struct hp_top *t, pid_t pid)
{
	for (size_t i = 0; i < t->targets.n; i++)
		if (t->targets.v[i].pid == pid)
			return &t->targets.v[i];
	return NULL;
}

static void describe_work(struct hp_top_target *to, const json_t *target)
{
	const json_t *job = json_array_get(json_object_get(target, "jobs"), 0);
	const char *step = hp_get_text(job, "step");
	int64_t queued = hp_get_number(target, "queued");
	char took[32];

	if (!job)
		return;
	snprintf(to->work, sizeof(to->work), "%s%s%s %s", hp_get_text(job, "kind"),
		 *step ? ": " : "", step, hp_show_ns(hp_get_number(job, "ns"), took, sizeof(took)));
	if (queued)
		snprintf(to->work + strlen(to->work), sizeof(to->work) - strlen(to->work),
			 ", %lld wait", (long long)queued);
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct hp_top_target *)a)->pid - ((const struct hp_top_target *)b)->pid;
}

void hp_top_take_status(struct hp_top *t, const json_t *status)
{
	const json_t *hpd = json_object_get(status, "hpd"), *target;
	char up[32];
	size_t i;

	snprintf(t->hpd, sizeof(t->hpd), "hpd %s, up %s", hp_get_text(hpd, "version"),
		 hp_show_ns(hp_get_number(hpd, "uptime_ns"), up, sizeof(up)));
	t->targets.n = 0;
	json_array_foreach (json_object_get(status, "targets"), i, target) {
		struct hp_top_target *to = HP_ARRAY_ADD(&t->targets);

		if (!to)
			break;
		*to = (struct hp_top_target){
			.pid = (pid_t)hp_get_number(target, "pid"),
			.patches = hp_get_number(target, "patches"),
			.functions = hp_get_number(target, "functions"),
			.in_flight = hp_get_number(target, "in_flight"),
			.gate_closed = json_is_true(json_object_get(target, "gate_closed")),
			.counting = json_is_true(json_object_get(target, "counting")),
		};
		snprintf(to->comm, sizeof(to->comm), "%s", hp_get_text(target, "comm"));
		describe_work(to, target);
	}
	if (!t->targets.v)
		return; /* there was never one, so none is selected */
	qsort(t->targets.v, t->targets.n, sizeof(*t->targets.v), by_pid);
	if (!find(t, t->selected))
		hp_top_select(t, 0);
}

void hp_top_select(struct hp_top *t, int by)
{
	const struct hp_top_target *now = find(t, t->selected);
	ptrdiff_t i = now ? now - t->targets.v + by : 0;
	pid_t before = t->selected;

	if (i >= (ptrdiff_t)t->targets.n)
		i = (ptrdiff_t)t->targets.n - 1;
	if (i < 0)
		i = 0;
	t->selected = t->targets.n ? t->targets.v[i].pid : 0;
	if (t->selected != before) {
		t->cpu = t->cpu_before = -1;
		t->cpu_ns = 0;
	}
}

/* --- calls --------------------------------------------------------------------------------------- */

void hp_top_look(struct hp_top *t, pid_t pid)
{
	t->looked = pid;
	t->fns.n = 0;
	t->counts_ns = 0;
	t->look_error[0] = 0;
	t->cpu_before = t->cpu;
}

void hp_top_take_counts(struct hp_top *t, const json_t *event)
{
	uint64_t now = hp_now_ns();
	double seconds = t->counts_ns ? (double)(now - t->counts_ns) / (double)HP_S : 0;
	const json_t *functions = json_object_get(event, "functions"), *f;
	bool same = json_array_size(functions) == t->fns.n;
	size_t i;

	if (!same)
		t->fns.n = 0;
	json_array_foreach (functions, i, f) {
		struct hp_top_fn *to = same ? &t->fns.v[i] : HP_ARRAY_ADD(&t->fns);
		int64_t calls = hp_get_number(f, "calls");

		if (!to)
			break;
		/* A session that began anew counts from 0. */
		to->rated = same && seconds > 0 && calls >= to->calls &&
			    !strcmp(to->name, hp_get_text(f, "name"));
		to->per_second = to->rated ? (double)(calls - to->calls) / seconds : 0;
		to->calls = calls;
		to->in_flight = hp_get_number(f, "in_flight");
		snprintf(to->name, sizeof(to->name), "%s", hp_get_text(f, "name"));
	}
	t->counts_ns = now;
}

static bool read_ticks(pid_t pid, uint64_t *ret)
{
	unsigned long user, kernel;
	char path[32], *text, *after;
	bool good;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (hp_read_file(-1, path, 4096, &text, NULL) < 0)
		return false;
	/* The name may hold anything, a bracket too. */
	after = strrchr(text, ')');
	good = after && sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			       &user, &kernel) == 2;
	free(text);
	if (good)
		*ret = user + kernel;
	return good;
}

void hp_top_measure(struct hp_top *t)
{
	uint64_t now = hp_now_ns(), ticks;
	double seconds;

	if (!t->selected || !read_ticks(t->selected, &ticks)) {
		t->cpu = -1;
		t->cpu_ns = 0;
		return;
	}
	if (t->cpu_ns && ticks >= t->cpu_ticks) {
		seconds = (double)(now - t->cpu_ns) / (double)HP_S;
		t->cpu = 100.0 * (double)(ticks - t->cpu_ticks) / (double)sysconf(_SC_CLK_TCK) /
			 seconds;
	}
	t->cpu_ticks = ticks;
	t->cpu_ns = now;
}

/* --- events -------------------------------------------------------------------------------------- */

const struct hp_top_last *hp_top_last_of(const struct hp_top *t, pid_t pid)
{
	for (size_t i = 0; i < t->lasts.n; i++)
		if (t->lasts.v[i].pid == pid)
			return &t->lasts.v[i];
	return NULL;
}

static void learn(struct hp_top *t, pid_t pid, const json_t *result)
{
	struct hp_top_last *to = (struct hp_top_last *)hp_top_last_of(t, pid);

	if (!to && t->lasts.n < LASTS_MAX)
		to = HP_ARRAY_ADD(&t->lasts);
	if (to)
		*to = (struct hp_top_last){.pid = pid,
					   .quiesce_ns = hp_get_number(result, "quiesce_ns"),
					   .gate_ns = hp_get_number(result, "gate_ns"),
					   .park_ns = hp_get_number(result, "longest_park_ns")};
}

__attribute__((format(printf, 3, 4))) static void add(char *line, size_t room, const char *fmt, ...)
{
	size_t n = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, room - n, fmt, ap);
	va_end(ap);
}

void hp_top_take_event(struct hp_top *t, const json_t *event)
{
	const json_t *result = json_object_get(event, "result");
	const char *time = hp_get_text(event, "time"), *step = hp_get_text(event, "step");
	char *line = t->event[t->n_events++ % HP_TOP_EVENTS], took[32], park[32];
	int64_t ns = hp_get_number(event, "ns");
	pid_t pid = (pid_t)hp_get_number(event, "pid");

	line[0] = 0;
	add(line, HP_TOP_LINE, "%.8s %d %s", strlen(time) > 11 ? time + 11 : time, pid,
	    hp_get_text(event, "event"));
	if (*hp_get_text(event, "job"))
		add(line, HP_TOP_LINE, " %s", hp_get_text(event, "job"));
	if (*step)
		add(line, HP_TOP_LINE, " %s", step);
	if (ns)
		add(line, HP_TOP_LINE, " %s", hp_show_ns(ns, took, sizeof(took)));
	if (*hp_get_text(event, "detail"))
		add(line, HP_TOP_LINE, " %s", hp_get_text(event, "detail"));
	if (json_object_get(result, "quiesce_ns")) {
		learn(t, pid, result);
		add(line, HP_TOP_LINE, ", quiescent in %s, longest park %s",
		    hp_show_ns(hp_get_number(result, "quiesce_ns"), took, sizeof(took)),
		    hp_show_ns(hp_get_number(result, "longest_park_ns"), park, sizeof(park)));
	}
	if (json_object_get(event, "error"))
		add(line, HP_TOP_LINE, " %s",
		    hp_get_text(json_object_get(event, "error"), "text"));
}
