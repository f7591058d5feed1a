/* SPDX-License-Identifier: MIT */
/*
 * Loads over threads and functions.  What a thread notices is told beside two spans as long: one
 * with nothing going on, and one with the same load into another process, which costs the machine
 * the same and has nothing to do with the thread.
 *
 * The thread that notices spins, which on two CPUs leaves one to hp; so a load is also timed while all
 * threads of the service rest.
 */
#include "bench.h"

struct cell {
	struct service s, other;
	const char *patch;
	struct samples load, unload, rest, rest_unload, job, borrowed, gate, park;
	struct samples clock, clock_unload, call, call_unload, idle, elsewhere;
	struct memory before, during, after;
};

static void there_and_back(struct cell *c, enum bench_do what, struct samples *gap,
			   struct samples *gap_unload)
{
	struct loaded l;

	service_do(&c->s, what);
	load_surely(&c->s, &l, c->patch);
	add(gap, service_longest(&c->s));
	add(&c->load, l.took_ns);
	add(&c->job, l.total_ns);
	add(&c->borrowed, l.borrowed_ns);
	add(&c->gate, l.gate_ns);
	add(&c->park, l.park_ns);
	service_do(&c->s, what);
	add(&c->unload, unload(&c->s, &l, "auto"));
	add(gap_unload, service_longest(&c->s));
	service_do(&c->s, what);
	nap_ns(l.took_ns);
	add(&c->idle, service_longest(&c->s));
	service_do(&c->s, DO_REST);
}

static void load_at_rest(struct cell *c)
{
	struct loaded l;

	service_do(&c->s, DO_REST);
	load_surely(&c->s, &l, c->patch);
	add(&c->rest, l.took_ns);
	add(&c->rest_unload, unload(&c->s, &l, "auto"));
}

static void load_elsewhere(struct cell *c)
{
	struct loaded l;

	service_do(&c->s, DO_CLOCK);
	load_surely(&c->other, &l, c->patch);
	add(&c->elsewhere, service_longest(&c->s));
	service_do(&c->s, DO_REST);
	(void)unload(&c->other, &l, "auto");
}

static void weigh(struct cell *c)
{
	struct loaded l;

	/* Not the first: a written page of text stays private, libraries are bound. */
	load_surely(&c->s, &l, c->patch);
	(void)unload(&c->s, &l, "auto");
	c->before = service_memory(&c->s);
	load_surely(&c->s, &l, c->patch);
	c->during = service_memory(&c->s);
	(void)unload(&c->s, &l, "auto");
	c->after = service_memory(&c->s);
}

static json_t *difference(const struct memory *a, const struct memory *b)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "maps", (json_int_t)(b->maps - a->maps), "mapped_kb",
			 (json_int_t)(b->mapped_kb - a->mapped_kb), "rss_kb",
			 (json_int_t)(b->rss_kb - a->rss_kb), "private_dirty_kb",
			 (json_int_t)(b->dirty_kb - a->dirty_kb));
}

static void print_cell(struct cell *c, int threads, int functions)
{
	fprintf(opt.table, "%7d %9d", threads, functions);
	print_pair(&c->load, 1e6, 6, 1);
	print_pair(&c->unload, 1e6, 6, 1);
	print_pair(&c->rest, 1e6, 6, 1);
	print_pair(&c->rest_unload, 1e6, 6, 1);
	print_pair(&c->clock, 1e6, 6, 2);
	print_pair(&c->call, 1e6, 6, 2);
	print_pair(&c->idle, 1e6, 6, 2);
	print_pair(&c->elsewhere, 1e6, 6, 2);
	fprintf(opt.table, " | %6ld %5ld %5ld", c->during.mapped_kb - c->before.mapped_kb,
		c->during.dirty_kb - c->before.dirty_kb, c->after.mapped_kb - c->before.mapped_kb);
	if (c->s.refused + c->other.refused)
		fprintf(opt.table, " refused %d", c->s.refused + c->other.refused);
	fputs("\n", opt.table);
	fflush(opt.table);
}

static json_t *cell_json(struct cell *c, int threads, int functions)
{
	json_t *row = json_pack("{s:i,s:i}", "threads", threads, "functions", functions);
	const struct {
		const char *name;
		struct samples *s;
	} all[] = {
		{"load_us", &c->load},
		{"unload_us", &c->unload},
		{"load_at_rest_us", &c->rest},
		{"unload_at_rest_us", &c->rest_unload},
		{"job_us", &c->job},
		{"borrowed_us", &c->borrowed},
		{"gate_us", &c->gate},
		{"park_us", &c->park},
		{"gap_uninvolved_load_us", &c->clock},
		{"gap_uninvolved_unload_us", &c->clock_unload},
		{"gap_caller_load_us", &c->call},
		{"gap_caller_unload_us", &c->call_unload},
		{"gap_without_load_us", &c->idle},
		{"gap_load_elsewhere_us", &c->elsewhere},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		json_object_set_new(row, all[i].name, summary(all[i].s));
	json_object_set_new(row, "memory_added", difference(&c->before, &c->during));
	json_object_set_new(row, "refused", json_integer(c->s.refused + c->other.refused));
	json_object_set_new(row, "memory_left", difference(&c->before, &c->after));
	return row;
}

static json_t *measure(int threads, int functions)
{
	static struct cell c;
	uint64_t end = now_ns() + opt.budget_ns;

	c = (struct cell){.patch = patch_path(functions)};
	service_start(&c.s, threads, 1);
	service_start(&c.other, 1, 1);
	weigh(&c);
	for (int i = 0; i < opt.loads && (i < LOADS_MIN || now_ns() < end); i++) {
		there_and_back(&c, DO_CLOCK, &c.clock, &c.clock_unload);
		there_and_back(&c, DO_CALL, &c.call, &c.call_unload);
		load_at_rest(&c);
		load_elsewhere(&c);
	}
	service_stop(&c.s);
	service_stop(&c.other);
	print_cell(&c, threads, functions);
	return cell_json(&c, threads, functions);
}

json_t *measure_loads(void)
{
	static const int threads[] = {1, 8, 64, 1024}, functions[] = {1, 10, 100};
	json_t *rows = json_array();

	fprintf(opt.table,
		"Milliseconds: median and longest of the loads; of the threads, the longest gap in "
		"each.\n\n"
		"                  |    one of its threads spins   |      all its threads rest     | "
		" gap: thread  |  gap: thread  |    gap: the   |  gap: a load  |   memory (kB)\n"
		"                  |      load     |     unload    |      load     |     unload    | "
		" not involved |   that calls  |   same, idle  |   elsewhere   | mapped dirty\n"
		"threads functions |    p50    max |    p50    max |    p50    max |    p50    max |    "
		"p50    max |    p50    max |    p50    max |    p50    max |  added added  left\n");
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
		for (size_t k = 0; k < sizeof(functions) / sizeof(functions[0]); k++)
			if (!opt.quick || ((threads[i] == 1 || threads[i] == 64) && k != 1))
				json_array_append_new(rows, measure(threads[i], functions[k]));
	return rows;
}
