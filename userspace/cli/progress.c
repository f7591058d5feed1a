/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/output.h"

static void erase(struct hp_progress *p)
{
	if (p->drawn)
		fprintf(stderr, "\r\033[K");
	p->drawn = false;
}

static void on_end(void *arg)
{
	erase(arg);
}

static void on_line(void *arg, const json_t *line)
{
	struct hp_progress *p = arg;
	int64_t ns = hp_get_number(line, "ns");
	char took[32];

	if (!strcmp(hp_get_text(line, "event"), "target"))
		snprintf(p->step, sizeof(p->step), "%lld of %lld processes",
			 (long long)hp_get_number(line, "done"),
			 (long long)hp_get_number(line, "of"));
	else
		snprintf(p->step, sizeof(p->step), "%s", hp_get_text(line, "step"));
	if (!p->cli->verbose || !*hp_get_text(line, "step"))
		return;
	erase(p);
	hp_tell(p->cli, "%-9s %-10s %s", p->step, ns ? hp_show_ns(ns, took, sizeof(took)) : "",
		hp_get_text(line, "detail"));
}

static void on_tick(void *arg)
{
	struct hp_progress *p = arg;
	uint64_t ns = hp_now_ns() - p->since_ns;

	if (ns < HP_S)
		return;
	fprintf(stderr, "\r\033[K%s: %s, %.1f s", p->cli->verb->name, *p->step ? p->step : "waiting",
		(double)ns / (double)HP_S);
	p->drawn = true;
}

int hp_ask_with_progress(const struct hp_cli *cli, const char *path, json_t *body, json_t **answer)
{
	struct hp_progress p = {.cli = cli, .since_ns = hp_now_ns()};
	struct hp_call call = {
		.method = "POST",
		.path = path,
		.body = body,
		.stream = true,
		.line = on_line,
		.tick = cli->progress && !cli->quiet ? on_tick : NULL,
		.ended = on_end,
		.arg = &p,
	};
	int k = hp_ask(cli, &call, answer);

	json_decref(body);
	return k;
}
