/* SPDX-License-Identifier: MIT */
#include <stdio.h>
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

int hp_cmd_list(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body = json_object(), *answer, *list, *patch;
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
	/* A script sees it from the empty output. */
	if (!json_array_size(list) && !cli->json && isatty(STDERR_FILENO))
		hp_tell(cli, "no patch is loaded");
	json_decref(answer);
	return 0;
}
