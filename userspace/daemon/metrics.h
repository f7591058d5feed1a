/* SPDX-License-Identifier: MIT */
/* daemon/metrics.h – what hpd did, counted, in Prometheus' text format. */
#ifndef HP_DAEMON_METRICS_H
#define HP_DAEMON_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "hp/err.h"

struct hp_daemon;
struct hp_job;
struct hp_job_head;

/* X(name of the enum, name of the metric, what it counts) */
#define HP_COUNTER_LIST(X)                                                                         \
	X(HP_COUNT_REQUESTS, "hp_requests_total", "Requests on the control socket.")               \
	X(HP_COUNT_WIRE, "hp_wire_requests_total", "Requests by hotgo's HTTP and RPC.")            \
	X(HP_COUNT_PARKED, "hp_threads_parked_total", "Threads that waited at a closed gate.")     \
	X(HP_COUNT_RECOVERED, "hp_recovered_total",                                                \
	  "Processes put right after a job or an hpd that died half-way.")                         \
	X(HP_COUNT_REPAIRED, "hp_guard_repairs_total",                                             \
	  "Patched entries that somebody else had changed, put right.")                            \
	X(HP_COUNT_LOST, "hp_event_lines_lost_total", "Events not sent to watchers too slow.")

enum hp_counter {
#define HP_COUNTER_ENUM(id, name, help) id,
	HP_COUNTER_LIST(HP_COUNTER_ENUM)
#undef HP_COUNTER_ENUM
		HP_COUNTERS
};

#define HP_HISTOGRAM_BOUNDS 16

struct hp_histogram {
	uint64_t upto[HP_HISTOGRAM_BOUNDS + 1]; /* the last: above every bound */
	uint64_t sum_ns;
};

/* Results: done, every error that has a name, and the others (an errno). */
enum {
#define HP_RESULT_ENUM(code, name, status) HP_RESULT_##code,
	HP_ERR_LIST(HP_RESULT_ENUM)
#undef HP_RESULT_ENUM
		HP_RESULT_DONE,
	HP_RESULT_OTHER,
	HP_RESULTS
};

/* Those that have a gate come first. */
enum {
	HP_METRICS_LOAD,
	HP_METRICS_UNLOAD,
	HP_METRICS_GATED,
	HP_METRICS_RESTART = HP_METRICS_GATED,
	HP_METRICS_OPS
};

struct hp_metrics {
	uint64_t counter[HP_COUNTERS];
	uint64_t result[HP_METRICS_OPS][HP_RESULTS];
	struct hp_histogram whole[HP_METRICS_GATED], quiesce[HP_METRICS_GATED],
		gate[HP_METRICS_GATED], park[HP_METRICS_GATED];
	struct hp_histogram ready; /* of restarts */
};

void hp_metrics_add(struct hp_daemon *d, enum hp_counter which, uint64_t n);

/* To be called with every answer of a job. */
void hp_metrics_job(struct hp_daemon *d, const struct hp_job *job, const struct hp_job_head *said);

#define HP_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
/* All of it.  0 or -ENOMEM. */
int hp_metrics_write(const struct hp_daemon *d, struct hp_buf *out);

#endif
