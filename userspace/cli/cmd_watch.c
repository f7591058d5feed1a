/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/top.h"
#include "cli/values.h"
#include "hp/err.h"

#define BEFORE_MS 500 /* for so long it is measured what the process takes without counting */

struct watch {
	const struct hp_cli *cli;
	bool redraw;	/* stdout is a terminal: the table is drawn over itself */
	size_t drawn;	/* lines of it */
	struct hp_top *model;
};

static void show_calls(struct watch *w)
{
	const struct hp_top *t = w->model;

	if (w->redraw && w->drawn)
		printf("\033[%zuA\033[J", w->drawn);
	w->drawn = t->fns.n + 1;
	printf("%12s %12s %16s  function\n", "in flight", "calls/s", "calls");
	for (size_t i = 0; i < t->fns.n; i++) {
		const struct hp_top_fn *f = &t->fns.v[i];
		char rate[32] = "-";

		if (f->rated)
			(void)snprintf(rate, sizeof(rate), "%.1f", f->per_second);
		printf("%12lld %12s %16lld  ", (long long)f->in_flight, rate, (long long)f->calls);
		hp_put(stdout, f->name);
		putchar('\n');
	}
	if (t->cpu >= 0 && t->cpu_before >= 0) {
		printf("counting costs: CPU %.0f %% now, %.0f %% before\n", t->cpu, t->cpu_before);
		w->drawn++;
	}
}

/* What hpctl top shows beside the counts; null: not known yet. */
static void rate(const struct hp_top *t, json_t *line)
{
	json_t *functions = json_object_get(line, "functions");

	for (size_t i = 0; i < t->fns.n; i++)
		(void)json_object_set_new(json_array_get(functions, i), "calls_per_second",
					  t->fns.v[i].rated ? json_real(t->fns.v[i].per_second)
							    : json_null());
	(void)json_object_set_new(line, "cpu_percent", t->cpu < 0 ? json_null() : json_real(t->cpu));
	(void)json_object_set_new(line, "cpu_percent_before",
				  t->cpu_before < 0 ? json_null() : json_real(t->cpu_before));
}

static void show_event(struct watch *w, const json_t *line)
{
	const json_t *error = json_object_get(line, "error");
	int64_t ns = hp_get_number(line, "ns");
	const char *time = hp_get_text(line, "time");
	int64_t patches = hp_get_number(line, "patches");
	char took[32];

	printf("%.12s %lld %s", strlen(time) > 11 ? time + 11 : time,
	       (long long)hp_get_number(line, "pid"), hp_get_text(line, "event"));
	if (*hp_get_text(line, "job"))
		printf(" %s", hp_get_text(line, "job"));
	if (*hp_get_text(line, "step"))
		printf(" %s", hp_get_text(line, "step"));
	if (!strcmp(hp_get_text(line, "event"), "patches"))
		printf(": %lld on %lld function%s", (long long)patches,
		       (long long)hp_get_number(line, "functions"),
		       hp_get_number(line, "functions") == 1 ? "" : "s");
	if (ns)
		printf(" %s", hp_show_ns(ns, took, sizeof(took)));
	if (*hp_get_text(line, "detail")) {
		printf(" ");
		hp_put(stdout, hp_get_text(line, "detail"));
	}
	if (error) {
		printf(" ");
		hp_put(stdout, hp_get_text(error, "text"));
	}
	putchar('\n');
	w->drawn = 0;
}

static void on_line(void *arg, const json_t *line)
{
	bool calls = !strcmp(hp_get_text(line, "event"), "calls");
	struct watch *w = arg;

	if (calls) {
		hp_top_take_counts(w->model, line);
		hp_top_measure(w->model);
	}
	if (w->cli->json) {
		json_t *whole = json_deep_copy(line);

		if (calls)
			rate(w->model, whole);
		(void)json_dumpf(whole, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(whole);
	} else if (calls) {
		show_calls(w);
	} else {
		show_event(w, line);
	}
	/* Whoever reads us acts on a line when it comes; nobody left to read is the end. */
	if (fflush(stdout))
		_exit(HP_EXIT_DONE);
}

static void measure_before(struct hp_top *t, pid_t pid)
{
	t->cpu = t->cpu_before = -1;
	t->selected = pid;
	hp_top_measure(t);
	(void)poll(NULL, 0, BEFORE_MS); /* shorter when a signal comes */
	hp_top_measure(t);
	hp_top_look(t, pid);
}

int hp_cmd_watch(struct hp_cli *cli, const struct hp_args *args)
{
	static struct hp_top model; /* its events make it big */
	bool calls = hp_args_get(args, "calls") != NULL;
	struct watch w = {
		.cli = cli, .redraw = cli->progress && isatty(STDOUT_FILENO), .model = &model};
	char path[64] = "/hp/v2/events";
	struct hp_call call = {.method = "GET", .path = path, .line = on_line, .arg = &w};
	json_t *answer, *body = NULL;
	pid_t pid;
	int k;

	if (!hp_value_pid(cli, args, calls, &pid))
		return HP_EXIT_USAGE;
	if (hp_args_words(args))
		return hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	if (calls) {
		call.method = "POST";
		call.path = "/hp/v2/watch";
		call.body = body = json_pack("{s:i}", "pid", (int)pid);
		measure_before(&model, pid);
	} else if (pid) {
		snprintf(path, sizeof(path), "/hp/v2/events?pid=%d", pid);
	}
	k = hp_ask(cli, &call, &answer);
	json_decref(body);
	json_decref(answer);
	hp_top_free(&model);
	return k;
}
