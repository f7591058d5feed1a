/* SPDX-License-Identifier: MIT */
/*
 * Durations are kept in nanoseconds and told in seconds, as Prometheus wants them.  What is in a
 * process is what its last answer said; nobody is looked at for a scrape.
 */
#include "daemon/metrics.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defaults.h"
#include "base/fd.h"
#include "daemon/daemon.h"
#include "daemon/serve.h"
#include "daemon/status.h"
#include "restart/restart.h"
#include "watch/watch.h"

static const double bounds[HP_HISTOGRAM_BOUNDS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
						   0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
						   1,	   2.5,	    5,	    10};

static const char *const op_names[HP_METRICS_OPS] = {[HP_METRICS_LOAD] = "load",
						     [HP_METRICS_UNLOAD] = "unload",
						     [HP_METRICS_RESTART] = "restart"};

/* --- counting ------------------------------------------------------------------------------------ */

void hp_metrics_add(struct hp_daemon *d, enum hp_counter which, uint64_t n)
{
	d->metrics.counter[which] += n;
}

static void observe(struct hp_histogram *h, uint64_t ns)
{
	size_t i = 0;

	while (i < HP_HISTOGRAM_BOUNDS && (double)ns / (double)HP_S > bounds[i])
		i++;
	h->upto[i]++;
	h->sum_ns += ns;
}

static const char *result_name(size_t i)
{
	static const char *const names[HP_RESULTS] = {
#define NAME(code, name, status) [HP_RESULT_##code] = (name),
		HP_ERR_LIST(NAME)
#undef NAME
		[HP_RESULT_DONE] = "done",
		[HP_RESULT_OTHER] = "other",
	};

	return names[i];
}

static size_t result_of(int code)
{
	switch (-code) {
	case 0:
		return HP_RESULT_DONE;
#define RESULT(code, name, status)                                                                 \
	case code:                                                                                 \
		return HP_RESULT_##code;
		HP_ERR_LIST(RESULT)
#undef RESULT
	}
	return HP_RESULT_OTHER;
}

void hp_metrics_job(struct hp_daemon *d, const struct hp_job *job, const struct hp_job_head *said)
{
	struct hp_metrics *m = &d->metrics;
	size_t op = job->req.kind == HP_JOB_LOAD     ? HP_METRICS_LOAD
		    : job->req.kind == HP_JOB_UNLOAD ? HP_METRICS_UNLOAD
						     : HP_METRICS_RESTART;

	if (op == HP_METRICS_RESTART && job->req.kind != HP_JOB_RESTART)
		return;
	m->result[op][result_of(said->code)]++;
	if (said->code)
		return;
	if (op == HP_METRICS_RESTART) {
		observe(&m->ready, said->ns);
		return;
	}
	observe(&m->whole[op], said->total_ns);
	observe(&m->quiesce[op], said->quiesce_ns);
	observe(&m->gate[op], said->gate_ns);
	observe(&m->park[op], said->longest_park_ns);
	m->counter[HP_COUNT_PARKED] += said->threads_parked;
}

/* --- telling ------------------------------------------------------------------------------------- */

/* The first failure stays. */
struct writer {
	struct hp_buf *out;
	int k;
};

#define PUT(w, ...)                                                                                \
	do {                                                                                       \
		if ((w)->k == 0)                                                                   \
			(w)->k = hp_buf_printf((w)->out, __VA_ARGS__);                             \
	} while (0)

static void head(struct writer *w, const char *name, const char *type, const char *help)
{
	PUT(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct writer *w, const char *name, const char *type, const char *help, double v)
{
	head(w, name, type, help);
	PUT(w, "%s %.15g\n", name, v);
}

/* The samples of one; @labels is empty, or ends in a comma. */
static void samples(struct writer *w, const char *name, const char *labels,
		    const struct hp_histogram *h)
{
	int n = (int)strlen(labels) - (*labels != 0); /* without the comma */
	const char *open = n ? "{" : "", *close = n ? "}" : "";
	uint64_t count = 0;

	for (size_t i = 0; i < HP_HISTOGRAM_BOUNDS; i++) {
		count += h->upto[i];
		PUT(w, "%s_bucket{%sle=\"%g\"} %llu\n", name, labels, bounds[i],
		    (unsigned long long)count);
	}
	count += h->upto[HP_HISTOGRAM_BOUNDS];
	PUT(w, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, (unsigned long long)count);
	PUT(w, "%s_sum%s%.*s%s %.9f\n", name, open, n, labels, close,
	    (double)h->sum_ns / (double)HP_S);
	PUT(w, "%s_count%s%.*s%s %llu\n", name, open, n, labels, close,
	    (unsigned long long)count);
}

static void histogram(struct writer *w, const char *name, const char *help,
		      const struct hp_histogram h[HP_METRICS_GATED])
{
	char labels[32];

	head(w, name, "histogram", help);
	for (size_t op = 0; op < HP_METRICS_GATED; op++) {
		snprintf(labels, sizeof(labels), "operation=\"%s\",", op_names[op]);
		samples(w, name, labels, &h[op]);
	}
}

static void operations(struct writer *w, const struct hp_metrics *m)
{
	head(w, "hp_operations_total", "counter", "Loads, unloads and restarts, by what became of them.");
	for (size_t op = 0; op < HP_METRICS_OPS; op++)
		for (size_t i = 0; i < HP_RESULTS; i++)
			if (m->result[op][i] || i == HP_RESULT_DONE)
				PUT(w, "hp_operations_total{operation=\"%s\",result=\"%s\"} %llu\n",
				    op_names[op], result_name(i),
				    (unsigned long long)m->result[op][i]);
	histogram(w, "hp_operation_seconds", "How long an operation took that was done.", m->whole);
	histogram(w, "hp_quiescence_seconds",
		  "How long it took until no call was in flight and the code was exchanged.",
		  m->quiesce);
	histogram(w, "hp_gate_closed_seconds", "How long the gate was closed.", m->gate);
	histogram(w, "hp_park_seconds", "The longest time that one thread was parked.", m->park);
	head(w, "hp_restart_ready_seconds", "histogram",
	     "How long a new generation took until it was ready.");
	samples(w, "hp_restart_ready_seconds", "", &m->ready);
}

/* comm is anybody's text: what could end the label, or is no ASCII, is shown by '?'. */
static void clean(char *buf)
{
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~' || *p == '"' || *p == '\\')
			*p = '?';
}

static double patches_of(const struct hp_subject *s)
{
	return (double)s->patches;
}

static double functions_of(const struct hp_subject *s)
{
	return (double)s->functions;
}

static double retained_of(const struct hp_subject *s)
{
	return s->retry_ns != 0;
}

static double in_flight_of(const struct hp_subject *s)
{
	const struct hp_session_state *state = s->view ? hp_view_state(s->view) : NULL;

	return state && state->session ? (double)state->total : 0;
}

static void of_targets(struct writer *w, const struct hp_daemon *d, const char *name,
		       const char *help, double (*value)(const struct hp_subject *s))
{
	const struct hp_subject *s;
	char comm[64];

	head(w, name, "gauge", help);
	TAILQ_FOREACH(s, &d->subjects, link) {
		if (s->gone)
			continue;
		hp_subject_comm(s, comm, sizeof(comm));
		clean(comm);
		PUT(w, "%s{pid=\"%d\",comm=\"%s\"} %.15g\n", name, s->pid, comm, value(s));
	}
}

static void targets(struct writer *w, const struct hp_daemon *d)
{
	of_targets(w, d, "hp_patches", "Patches in a process.", patches_of);
	of_targets(w, d, "hp_patched_functions", "Functions of a process that are replaced.",
		   functions_of);
	of_targets(w, d, "hp_retained",
		   "Whether a process still points into a patch that is out of use.", retained_of);
	of_targets(w, d, "hp_calls_in_flight",
		   "Calls of patched functions in flight, while they are counted; else 0.",
		   in_flight_of);
}

/* From the files of those who look after them: a few, in a file system in memory. */
static void generations(struct writer *w)
{
	json_t *all = hp_generations_list(NULL), *g;
	const char *text;
	char comm[64];
	size_t i;

	head(w, "hp_generation", "gauge",
	     "Which generation a process is that hpctl restart has started.");
	json_array_foreach (all, i, g) {
		text = json_string_value(json_object_get(g, "comm"));
		snprintf(comm, sizeof(comm), "%s", text ? text : "");
		clean(comm);
		PUT(w, "hp_generation{pid=\"%llu\",comm=\"%s\"} %llu\n",
		    (unsigned long long)json_integer_value(json_object_get(g, "pid")), comm,
		    (unsigned long long)json_integer_value(json_object_get(g, "generation")));
	}
	json_decref(all);
}

static double seconds(const struct rusage *r)
{
	return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
	       (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

static double resident_bytes(void)
{
	unsigned long size, resident = 0;
	char *text;

	if (hp_read_file(-1, "/proc/self/statm", 4096, &text, NULL) < 0)
		return 0;
	if (sscanf(text, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	free(text);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void own_cost(struct writer *w, const struct hp_daemon *d)
{
	struct rusage self, jobs;
	const struct hp_serve *l;
	const struct hp_job *job;
	size_t n_jobs = 0, n_listeners = 0;

	(void)getrusage(RUSAGE_SELF, &self); /* fails for no other reason than a wrong pointer */
	(void)getrusage(RUSAGE_CHILDREN, &jobs);
	TAILQ_FOREACH(job, &d->jobs, link)
		n_jobs++;
	TAILQ_FOREACH(l, &d->listeners, link)
		n_listeners += !l->closing;
	head(w, "hp_build_info", "gauge", "Always 1; the version is in the label.");
	PUT(w, "hp_build_info{version=\"%s\"} 1\n", HP_VERSION);
	one(w, "hp_clients", "gauge", "Connections of clients.", (double)hp_daemon_conns(d));
	one(w, "hp_listeners", "gauge", "Addresses on which processes are served (hpctl serve).",
	    (double)n_listeners);
	one(w, "hp_jobs", "gauge", "Processes of hp's at work.", (double)n_jobs);
	one(w, "hp_bpf", "gauge", "Whether calls can be counted.", d->watch != NULL);
	one(w, "hp_jobs_cpu_seconds_total", "counter", "CPU time of jobs that have ended.",
	    seconds(&jobs));
	one(w, "hp_guard_round_seconds", "gauge", "How long the last look at all entries took.",
	    (double)d->guard_round_ns / (double)HP_S);
	one(w, "process_cpu_seconds_total", "counter", "CPU time of hpd itself.", seconds(&self));
	one(w, "process_resident_memory_bytes", "gauge", "Resident memory of hpd itself.",
	    resident_bytes());
	one(w, "process_start_time_seconds", "gauge", "When hpd was started, in Unix time.",
	    (double)d->started_wall_ns / (double)HP_S);
}

int hp_metrics_write(const struct hp_daemon *d, struct hp_buf *out)
{
	static const struct {
		const char *name, *help;
	} counters[HP_COUNTERS] = {
#define COUNTER(id, name, help) [id] = {name, help},
		HP_COUNTER_LIST(COUNTER)
#undef COUNTER
	};
	struct writer w = {out, 0};

	operations(&w, &d->metrics);
	for (size_t i = 0; i < HP_COUNTERS; i++)
		one(&w, counters[i].name, "counter", counters[i].help,
		    (double)d->metrics.counter[i]);
	targets(&w, d);
	generations(&w);
	own_cost(&w, d);
	return w.k;
}
