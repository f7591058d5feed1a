/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "hp/err.h"

static int show(const struct hp_cli *cli, const json_t *answer)
{
	json_t *checks = json_object_get(answer, "checks"), *c;
	int status = HP_EXIT_DONE;
	size_t i;

	if (!cli->json)
		printf("kernel %s, %s\n", hp_get_text(answer, "kernel"),
		       hp_get_text(answer, "machine"));
	json_array_foreach (checks, i, c) {
		const char *name = hp_get_text(c, "name");
		bool ok = json_is_true(json_object_get(c, "ok"));
		bool essential = json_is_true(json_object_get(c, "essential"));

		if (!ok && essential && status != HP_EXIT_DENIED)
			status = strcmp(name, "capabilities") ? HP_EXIT_FAILED : HP_EXIT_DENIED;
		if (cli->json)
			continue;
		printf("%-8s %-14s %s\n", ok ? "ok" : essential ? "MISSING" : "lacking", name,
		       hp_get_text(c, "found"));
		if (!ok)
			printf("%-8s %-14s -> %s\n", "", "", hp_get_text(c, "cost"));
	}
	return status;
}

int hp_cmd_doctor(struct hp_cli *cli, const struct hp_args *args)
{
	const struct hp_call call = {.method = "GET", .path = "/hp/v2/doctor"};
	json_t *answer;
	int k;

	if (hp_args_words(args))
		return hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	k = hp_ask(cli, &call, &answer);
	if (k)
		return k;
	k = show(cli, answer);
	json_decref(answer);
	return k;
}
