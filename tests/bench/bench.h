/* SPDX-License-Identifier: MIT */
/* bench.h – the parts of the benchmark. */
#ifndef BENCH_H
#define BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "shared.h"

struct bench_options {
	const char *socket_path, *one_core_path; /* an hpd that is kept on processor 0 */
	const char *target, *patches;
	const char *part;   /* the only one wanted; NULL: all */
	int loads;          /* wanted of each kind, … */
	uint64_t budget_ns; /* … if they fit into this; LOADS_MIN else */
	bool quick;
	FILE *table;
};
extern struct bench_options opt;

#define LOADS_MIN   5
#define NS_A_SECOND 1000000000u

/* --- samples.c ---------------------------------------------------------------------- */

#define SAMPLES_MAX 256

struct samples {
	uint64_t v[SAMPLES_MAX];
	int n;
};

void add(struct samples *s, uint64_t v);
uint64_t percentile(struct samples *s, int p);
/* "  p50   max" */
void print_pair(struct samples *s, double unit, int width, int digits);
/* {"p50":…,"p99":…,"max":…,"n":…} in microseconds */
json_t *summary(struct samples *s);

uint64_t now_ns(void);
void nap_ns(uint64_t ns);
void die(const char *what) __attribute__((noreturn));

/* --- service.c: a target, and what hpd does to it ------------------------------------- */

struct service {
	pid_t pid;
	struct bench_shared *shared;
	int callers;
	int refused; /* loads and unloads that were tried again */
};

void service_start(struct service *s, int threads, int callers);
void service_stop(struct service *s);

/* Every caller is told, and has begun a new window. */
void service_do(struct service *s, enum bench_do what);
/* In this window, of any caller. */
uint64_t service_longest(const struct service *s);
uint64_t service_calls(const struct service *s);

struct memory {
	long maps, mapped_kb, rss_kb, dirty_kb;
};
struct memory service_memory(const struct service *s);

struct loaded {
	char id[80];
	char refused[256]; /* why */
	uint64_t took_ns;  /* as the client sees it */
	uint64_t total_ns, gate_ns, park_ns, borrowed_ns, tries;
	bool watched;
};
const char *patch_path(int functions);
/* False: refused. */
bool load(const struct service *s, struct loaded *ret, const char *patch, const char *quiesce);
/* Tried again a few times; the end of the program else. */
void load_surely(struct service *s, struct loaded *ret, const char *patch);
/* So too; how long it took at last. */
uint64_t unload(struct service *s, const struct loaded *l, const char *quiesce);

/* --- the measurements: a table on opt.table, JSON returned ---------------------------- */

json_t *measure_loads(void);
json_t *measure_calls(void);
json_t *measure_rates(void);
json_t *measure_socket(void);

#endif
