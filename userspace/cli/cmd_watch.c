/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

struct watch {
	const struct hp_cli *cli;
	bool redraw;	/* stdout is a terminal: the table is drawn over itself */
	size_t drawn;	/* lines of it */
};

static void show_calls(struct watch *w, const json_t *line)
{
	json_t *functions = json_object_get(line, "functions"), *f;
	size_t i;

	if (w->redraw && w->drawn)
		printf("\033[%zuA\033[J", w->drawn);
	printf("%12s %16s  function\n", "in flight", "calls");
	json_array_foreach (functions, i, f) {
		printf("%12lld %16lld  ", (long long)hp_get_number(f, "in_flight"),
		       (long long)hp_get_number(f, "calls"));
		hp_put(stdout, hp_get_text(f, "name"));
		putchar('\n');
	}
	w->drawn = json_array_size(functions) + 1;
}

static void show_event(struct watch *w, const json_t *line)
{
	const json_t *error = json_object_get(line, "error");
	int64_t ns = hp_get_number(line, "ns");
	const char *time = hp_get_text(line, "time");
	char took[32];

	printf("%.12s %lld %s", strlen(time) > 11 ? time + 11 : time,
	       (long long)hp_get_number(line, "pid"), hp_get_text(line, "event"));
	if (*hp_get_text(line, "job"))
		printf(" %s", hp_get_text(line, "job"));
	if (*hp_get_text(line, "step"))
		printf(" %s", hp_get_text(line, "step"));
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
	struct watch *w = arg;

	if (w->cli->json) {
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (!strcmp(hp_get_text(line, "event"), "calls")) {
		show_calls(w, line);
	} else {
		show_event(w, line);
	}
	/* Whoever reads us acts on a line when it comes; nobody left to read is the end. */
	if (fflush(stdout))
		_exit(HP_EXIT_DONE);
}

int hp_cmd_watch(struct hp_cli *cli, const struct hp_args *args)
{
	bool calls = hp_args_get(args, "calls") != NULL;
	struct watch w = {.cli = cli, .redraw = cli->progress && isatty(STDOUT_FILENO)};
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
	} else if (pid) {
		snprintf(path, sizeof(path), "/hp/v2/events?pid=%d", pid);
	}
	k = hp_ask(cli, &call, &answer);
	json_decref(body);
	json_decref(answer);
	return k;
}
