/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

static void show_map(const json_t *patch, const char *member, const char *arrow)
{
	json_t *map = json_object_get(patch, member), *value;
	const char *key;

	json_object_foreach (map, key, value) {
		printf("    %s: ", member);
		hp_put(stdout, key);
		fputs(arrow, stdout);
		hp_put(stdout, json_string_value(value) ?: "");
		putchar('\n');
	}
}

static void show(const json_t *p)
{
	const char *detail = hp_get_text(p, "detail");

	printf("%s\n    process %lld (", hp_get_text(p, "hp_id"),
	       (long long)hp_get_number(p, "pid"));
	hp_put(stdout, hp_get_text(p, "comm"));
	printf("), %s since %.19sZ, %s%s\n    file ", hp_get_text(p, "state"),
	       hp_get_text(p, "loaded"), hp_get_text(p, "mode"),
	       json_is_true(json_object_get(p, "inherited")) ? ", inherited by fork" : "");
	hp_put(stdout, hp_get_text(p, "file"));
	putchar('\n');
	if (*detail) {
		printf("    ");
		hp_put(stdout, detail);
		putchar('\n');
	}
	hp_show_sites(p, false);
	show_map(p, "ref", " = &");
	show_map(p, "meta", " = ");
	show_map(p, "signature", " = ");
}

/* A process that a restart started, and what becomes of the one before it. */
static void show_generation(const json_t *g)
{
	const char *old = hp_get_text(g, "old_state");
	int64_t open = hp_get_number(g, "open");

	printf("process %lld (", (long long)hp_get_number(g, "pid"));
	hp_put(stdout, hp_get_text(g, "comm"));
	printf("), %s since %.19sZ, generation %lld\n", hp_get_text(g, "state"),
	       hp_get_text(g, "since"), (long long)hp_get_number(g, "generation"));
	if (strcmp(old, "gone") != 0)
		printf("    the one before, process %lld: %s, %lld connection%s open\n",
		       (long long)hp_get_number(g, "old"), old, (long long)open,
		       open == 1 ? "" : "s");
}

static void show_unknown(const json_t *u)
{
	printf("process %lld (", (long long)hp_get_number(u, "pid"));
	hp_put(stdout, hp_get_text(u, "comm"));
	printf("), ");
	hp_put(stdout, hp_get_text(u, "detail"));
	if (*hp_get_text(u, "hp_id_begins"))
		printf("\n    left alone: the hp that patched it knows what it did");
	putchar('\n');
}

static void show_dropped(const json_t *dropped)
{
	size_t i;
	json_t *d;

	json_array_foreach (dropped, i, d)
		printf("process %lld runs another program since %.19sZ or before (exec), and has lost "
		       "%lld patch%s\n",
		       (long long)hp_get_number(d, "pid"), hp_get_text(d, "noticed"),
		       (long long)hp_get_number(d, "patches"),
		       hp_get_number(d, "patches") == 1 ? "" : "es");
}

int hp_cmd_list(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body = json_object(), *answer, *list, *generations, *unknown, *patch;
	const struct hp_call call = {.method = "POST", .path = "/hp/v2/list", .body = body};
	bool family;
	size_t i;
	int k;

	if (!hp_value_targets(cli, args, false, body, &family))
		k = HP_EXIT_USAGE;
	else if (hp_args_words(args))
		k = hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	else
		k = hp_ask(cli, &call, &answer);
	json_decref(body);
	if (k)
		return k;
	list = json_object_get(answer, "patches");
	json_array_foreach (list, i, patch)
		if (!cli->json && cli->quiet)
			printf("%s\n", hp_get_text(patch, "hp_id"));
		else if (!cli->json)
			show(patch);
	generations = json_object_get(answer, "generations");
	json_array_foreach (generations, i, patch)
		if (!cli->json && !cli->quiet)
			show_generation(patch);
	unknown = json_object_get(answer, "unknown_ledgers");
	json_array_foreach (unknown, i, patch)
		if (!cli->json && !cli->quiet)
			show_unknown(patch);
	if (!cli->json && !cli->quiet)
		show_dropped(json_object_get(answer, "dropped"));
	/* A script sees it from the empty output. */
	if (!json_array_size(list) && !json_array_size(generations) && !json_array_size(unknown) &&
	    !cli->json && isatty(STDERR_FILENO))
		hp_tell(cli, "no patch is loaded");
	json_decref(answer);
	return 0;
}
