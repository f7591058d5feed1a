/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

static void show_thread(const json_t *t)
{
	size_t i;
	json_t *frame;

	printf("thread %lld (", (long long)hp_get_number(t, "tid"));
	hp_put(stdout, hp_get_text(t, "name"));
	printf(") is inside ");
	hp_put(stdout, hp_get_text(t, "function"));
	putchar('\n');
	json_array_foreach (json_object_get(t, "stack"), i, frame) {
		printf("    #%-3zu %s ", i, hp_get_text(frame, "pc"));
		hp_put(stdout, hp_get_text(frame, "text"));
		putchar('\n');
	}
}

static void show(const json_t *answer)
{
	json_t *inside = json_object_get(answer, "inside"), *t;
	const char *detail = hp_get_text(answer, "detail");
	int64_t unknown = hp_get_number(answer, "unknown");
	size_t i;

	json_array_foreach (inside, i, t)
		show_thread(t);
	printf("%zu of %lld threads inside", json_array_size(inside),
	       (long long)hp_get_number(answer, "threads"));
	if (unknown)
		printf(", of %lld it cannot be told", (long long)unknown);
	putchar('\n');
	if (*detail) {
		hp_put(stdout, detail);
		putchar('\n');
	}
}

int hp_cmd_explain(struct hp_cli *cli, const struct hp_args *args)
{
	struct hp_call call = {.method = "POST", .path = "/hp/v2/explain"};
	json_t *answer, *body, *fns;
	pid_t pid;
	int k;

	if (!hp_value_pid(cli, args, true, &pid))
		return HP_EXIT_USAGE;
	if (!hp_args_words(args))
		return hp_cli_usage(cli, "which function? FUNCTION is missing");
	fns = json_array();
	for (size_t i = 0; i < hp_args_words(args); i++)
		if (json_array_append_new(fns, json_string(hp_args_word(args, i))) < 0) {
			json_decref(fns);
			return hp_cli_usage(cli, "'%s' is not UTF-8", hp_args_word(args, i));
		}
	body = json_pack("{s:i,s:o}", "pid", (int)pid, "functions", fns);
	call.body = body;
	k = hp_ask(cli, &call, &answer);
	json_decref(body);
	if (k)
		return k;
	if (!cli->json)
		show(answer);
	json_decref(answer);
	return 0;
}
