/* SPDX-License-Identifier: MIT */
/*
 * Watch, or gate at once?  Callers call at a rate, with calls that last; for either way: how long
 * the load takes, the longest call in it, and how many calls are made of those made in as long a
 * span without a load.
 */
#include "bench.h"

#include <string.h>

#define CALLERS BENCH_CALLERS_MAX

struct point {
	uint64_t rate, stay_us;
};

struct way {
	struct samples took, call, idle, gate, park;
	uint64_t calls, idle_calls;
	int tried, refused, used_watch;
};

static void once(struct service *s, struct way *w, const char *quiesce)
{
	struct loaded l;
	uint64_t calls;
	bool done;

	service_do(s, DO_RATE);
	calls = service_calls(s);
	done = load(s, &l, patch_path(1), quiesce);
	calls = service_calls(s) - calls;
	w->tried++;
	w->refused += !done;
	if (done) {
		add(&w->took, l.took_ns);
		add(&w->call, service_longest(s));
		add(&w->gate, l.gate_ns);
		add(&w->park, l.park_ns);
		w->calls += calls;
		w->used_watch += l.watched;
		service_do(s, DO_RATE);
		calls = service_calls(s);
		nap_ns(l.took_ns);
		w->idle_calls += service_calls(s) - calls;
		add(&w->idle, service_longest(s));
	}
	service_do(s, DO_REST);
	if (done)
		(void)unload(s, &l, "gate");
}

static int kept_percent(const struct way *w)
{
	return w->idle_calls ? (int)(w->calls * 100 / w->idle_calls) : 100;
}

static void print_way(struct way *w, const struct point *p, const char *quiesce)
{
	fprintf(opt.table, "%9lu %7lu %6s", (unsigned long)p->rate, (unsigned long)p->stay_us,
		quiesce);
	print_pair(&w->took, 1e6, 6, 1);
	print_pair(&w->call, 1e6, 6, 2);
	print_pair(&w->idle, 1e6, 6, 2);
	print_pair(&w->gate, 1e6, 6, 2);
	fprintf(opt.table, " | %4d%%", kept_percent(w));
	if (!strcmp(quiesce, "auto"))
		fprintf(opt.table, " watched %d of %d", w->used_watch, w->tried);
	if (w->refused)
		fprintf(opt.table, " refused %d of %d", w->refused, w->tried);
	fprintf(opt.table, "\n");
	fflush(opt.table);
}

static json_t *measure(const struct point *p, const char *quiesce, struct way *ret)
{
	uint64_t end = now_ns() + opt.budget_ns / 3;
	struct service s;

	*ret = (struct way){0};
	service_start(&s, CALLERS, CALLERS);
	s.shared->rate = p->rate / CALLERS;
	s.shared->stay_us = p->stay_us;
	while (ret->tried < opt.loads && (ret->tried < LOADS_MIN || now_ns() < end))
		once(&s, ret, quiesce);
	service_stop(&s);
	print_way(ret, p, quiesce);
	return json_pack("{s:I,s:I,s:s,s:i,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:i}", "calls_a_second",
			 (json_int_t)p->rate, "stay_us", (json_int_t)p->stay_us, "quiesce", quiesce,
			 "loads", ret->tried, "refused", ret->refused, "watched", ret->used_watch,
			 "load_us", summary(&ret->took), "longest_call_us", summary(&ret->call),
			 "longest_call_without_load_us", summary(&ret->idle), "gate_us",
			 summary(&ret->gate), "park_us", summary(&ret->park), "calls_kept_percent",
			 kept_percent(ret));
}

/* Watching pays where fewer loads are refused, or the longest call is clearly shorter and no more
 * calls are lost. */
static bool watch_pays(struct way *watch, struct way *gate)
{
	if (watch->refused != gate->refused)
		return watch->refused < gate->refused;
	return percentile(&watch->call, 50) * 10 < percentile(&gate->call, 50) * 9 &&
	       kept_percent(watch) + 5 >= kept_percent(gate);
}

json_t *measure_rates(void)
{
	static const struct point points[] = {{100, 0},    {1000, 0},    {10000, 0},  {50000, 0},
					      {200000, 0}, {1000000, 0}, {100, 1000}, {1000, 1000},
					      {8000, 100}, {100, 10000}, {4, 100000}, {60, 30000}};
	static struct way watch, gate, by_itself;
	json_t *rows = json_array(), *pays = json_array();
	uint64_t highest = 0;

	fprintf(opt.table,
		"\nWatch, or gate at once?  %d threads call the function; a call sleeps for "
		"\"stays\" "
		"(milliseconds as above).\n"
		"                         |     load      | longest call  | same, no load | gate "
		"closed   | calls\n"
		"  calls/s stays/us   way |    p50    max |    p50    max |    p50    max |    p50 "
		"   max | kept\n",
		CALLERS);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		const struct point *p = &points[i];

		if (opt.quick && i % 4)
			continue;
		json_array_append_new(rows, measure(p, "watch", &watch));
		json_array_append_new(rows, measure(p, "gate", &gate));
		if (p->stay_us)
			json_array_append_new(rows, measure(p, "auto", &by_itself));
		if (!watch_pays(&watch, &gate))
			continue;
		highest = p->rate > highest ? p->rate : highest;
		json_array_append_new(pays,
				      json_pack("{s:I,s:I}", "calls_a_second", (json_int_t)p->rate,
						"stay_us", (json_int_t)p->stay_us));
	}
	fprintf(opt.table,
		"  Watching paid at %zu of these points; the highest rate of them: %lu\n",
		json_array_size(pays), (unsigned long)highest);
	return json_pack("{s:o,s:o,s:I}", "points", rows, "watch_pays", pays, "highest_rate",
			 (json_int_t)highest);
}
