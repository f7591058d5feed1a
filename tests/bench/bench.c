/* SPDX-License-Identifier: MIT */
/*
 * bench --socket S --target PROGRAM --patches DIR --out FILE [--quick] [--json] [--part loads|calls|rates]
 *
 * What a load costs, measured from outside (wall time of hpd's answer) and from inside the target.
 * Tables on stdout and JSON in FILE; with --json that goes to stdout as well, and the tables to
 * stderr.  It judges nothing by the clock: it tells what was measured beside what was wanted.
 */
#include "bench.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

struct bench_options opt;

/* Of all CPUs, in ticks. */
static void read_ticks(uint64_t *all, uint64_t *stolen)
{
	unsigned long long v[8] = {0};
	FILE *f = fopen("/proc/stat", "re");

	*all = *stolen = 0;
	if (!f)
		return;
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		   &v[4], &v[5], &v[6], &v[7]) == 8) {
		for (int i = 0; i < 8; i++)
			*all += v[i];
		*stolen = v[7];
	}
	fclose(f);
}

static double load_average(void)
{
	double v = -1;

	return getloadavg(&v, 1) == 1 ? v : -1;
}

static void cpu_model(char *ret, size_t n)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(ret, n, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		snprintf(ret, n, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static json_t *machine(void)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	double busy = load_average();
	struct utsname u;
	char model[128];

	if (uname(&u))
		die("uname");
	cpu_model(model, sizeof(model));
	fprintf(opt.table, "Linux %s, %d CPUs (%s), load average %.1f\n\n", u.release, cpus, model,
		busy);
	return json_pack("{s:s,s:i,s:s,s:f}", "kernel", u.release, "cpus", cpus, "cpu", model,
			 "load_average_before", busy);
}

/* --- beside what was wanted ------------------------------------------------------------ */

static const json_t *row_of(const json_t *loads, int threads, int functions)
{
	const json_t *row;
	size_t i;

	json_array_foreach(
		loads, i, row) if (json_integer_value(json_object_get(row, "threads")) == threads &&
				   json_integer_value(json_object_get(row, "functions")) ==
					   functions) return row;
	return NULL;
}

static double ms_of(const json_t *row, const char *what, const char *percentile)
{
	return json_real_value(json_object_get(json_object_get(row, what), percentile)) / 1e3;
}

static void compare_pause(const json_t *loads, int threads, const char *peers)
{
	const json_t *row = row_of(loads, threads, 1);

	if (row)
		fprintf(opt.table,
			"  longest gap of a caller, %4d threads   p50 %6.2f max %6.2f ms"
			" (idle %.2f, %.2f)   peers: %s\n",
			threads, ms_of(row, "gap_caller_load_us", "p50"),
			ms_of(row, "gap_caller_load_us", "max"),
			ms_of(row, "gap_without_load_us", "p50"),
			ms_of(row, "gap_without_load_us", "max"), peers);
}

static void compare_apply(const json_t *loads, int threads, const char *wanted)
{
	const json_t *row = row_of(loads, threads, 1);

	if (row)
		fprintf(opt.table,
			"  load, 1 function, %4d threads          p50 %6.1f max %6.1f ms"
			"                       %s\n",
			threads, ms_of(row, "load_us", "p50"), ms_of(row, "load_us", "max"),
			wanted);
}

static void compare_uninvolved(const json_t *loads)
{
	const json_t *row;
	double worst = 0, beyond;
	size_t i;

	json_array_foreach(loads, i, row)
	{
		beyond = ms_of(row, "gap_uninvolved_load_us", "p50") -
			 ms_of(row, "gap_load_elsewhere_us", "p50");
		worst = beyond > worst ? beyond : worst;
	}
	fprintf(opt.table,
		"  gap of an uninvolved thread, p50, beyond what the same load elsewhere "
		"costs: %.2f ms at most   wanted: 1\n",
		worst);
}

static void compare(const json_t *result)
{
	const json_t *loads = json_object_get(result, "loads");
	const json_t *calls = json_object_get(result, "ns_a_call");

	fprintf(opt.table, "\nBeside the best peers on such a machine, and what issue 2 wants:\n");
	compare_apply(loads, 1, "peers: 13, wanted: 10");
	compare_apply(loads, 64, "peers: 191");
	compare_pause(loads, 1, "3-5");
	compare_pause(loads, 64, "9.5, 218");
	compare_uninvolved(loads);
	fprintf(opt.table,
		"  a patched call                         %+.2f ns, least %+.2f"
		"                        peers: +0.31, +0.62, wanted: +0.7\n",
		json_real_value(json_object_get(calls, "patched_more")),
		json_real_value(json_object_get(calls, "patched_more_least")));
}

/* --- the whole ---------------------------------------------------------------------------- */

static int parse(int argc, char **argv, const char **out, bool *json)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},  {"one-core-socket", required_argument, NULL, '1'},
		{"target", required_argument, NULL, 't'},
		{"patches", required_argument, NULL, 'p'}, {"out", required_argument, NULL, 'o'},
		{"quick", no_argument, NULL, 'q'},         {"json", no_argument, NULL, 'j'},
		{"part", required_argument, NULL, 'P'},    {NULL, 0, NULL, 0}};
	int c;

	opt = (struct bench_options){.loads = 20, .budget_ns = 10ull * NS_A_SECOND};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.socket_path = optarg;
			break;
		case '1':
			opt.one_core_path = optarg;
			break;
		case 't':
			opt.target = optarg;
			break;
		case 'p':
			opt.patches = optarg;
			break;
		case 'o':
			*out = optarg;
			break;
		case 'q':
			opt.quick = true;
			opt.loads = 10;
			opt.budget_ns = 4ull * NS_A_SECOND;
			break;
		case 'P':
			opt.part = optarg;
			break;
		case 'j':
			*json = true;
			break;
		default:
			return -1;
		}
	}
	return opt.socket_path && opt.one_core_path && opt.target && opt.patches && *out ? 0 : -1;
}

static bool wanted(const char *part)
{
	return !opt.part || !strcmp(opt.part, part);
}

int main(int argc, char **argv)
{
	uint64_t begin = now_ns(), all[2], stolen[2];
	const char *out = NULL;
	bool json = false;
	json_t *result, *m;

	if (parse(argc, argv, &out, &json) < 0) {
		fprintf(stderr, "usage: bench --socket S --one-core-socket S --target PROGRAM "
				"--patches DIR --out FILE [--quick] [--json] "
				"[--part loads|calls|rates|socket]\n");
		return 2;
	}
	opt.table = json ? stderr : stdout;
	read_ticks(&all[0], &stolen[0]);
	m = machine();
	result = json_pack("{s:i,s:b}", "schema", 1, "quick", opt.quick);
	json_object_set_new(result, "machine", m);
	if (wanted("loads"))
		json_object_set_new(result, "loads", measure_loads());
	if (wanted("calls"))
		json_object_set_new(result, "ns_a_call", measure_calls());
	if (wanted("rates"))
		json_object_set_new(result, "watch_or_gate", measure_rates());
	if (wanted("socket")) /* the last: it keeps us on one processor */
		json_object_set_new(result, "socket", measure_socket());
	read_ticks(&all[1], &stolen[1]);
	json_object_set_new(m, "load_average_after", json_real(load_average()));
	json_object_set_new(
		m, "stolen_percent",
		json_real(100.0 * (double)(stolen[1] - stolen[0]) / (double)(all[1] - all[0] + 1)));
	json_object_set_new(result, "seconds", json_real((double)(now_ns() - begin) / 1e9));
	if (!opt.part)
		compare(result);
	fprintf(opt.table,
		"\n%.0f s, load average %.1f before and %.1f after, %.1f%% of the time stolen\n",
		json_real_value(json_object_get(result, "seconds")),
		json_real_value(json_object_get(m, "load_average_before")),
		json_real_value(json_object_get(m, "load_average_after")),
		json_real_value(json_object_get(m, "stolen_percent")));
	if (json_dump_file(result, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
		die(out);
	if (json &&
	    (json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) || puts("") < 0))
		die("stdout");
	json_decref(result);
	return 0;
}
