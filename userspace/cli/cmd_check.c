/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/load_request.h"
#include "cli/output.h"
#include "cli/progress.h"

static void show(const json_t *patch)
{
	const char *detail = hp_get_text(patch, "detail");

	printf("%s\n    would be loaded into process %lld (", hp_get_text(patch, "hp_id"),
	       (long long)hp_get_number(patch, "pid"));
	hp_put(stdout, hp_get_text(patch, "comm"));
	printf("), mode %s, %lld bytes of its memory\n", hp_get_text(patch, "mode"),
	       (long long)hp_get_number(patch, "memory_bytes"));
	if (*detail) {
		printf("    ");
		hp_put(stdout, detail);
		putchar('\n');
	}
	hp_show_sites(patch, true);
}

int hp_cmd_check(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body, *answer, *patch;
	bool family;
	size_t i;
	int k = hp_load_request(cli, args, &body, &family);

	if (k == 0 && family) {
		json_decref(body);
		return hp_cli_usage(cli, "a check is of one process: -p PID");
	}
	if (k == 0)
		k = hp_ask_with_progress(cli, "/hp/v2/check", body, &answer);
	if (k)
		return k;
	json_array_foreach (json_object_get(answer, "patches"), i, patch)
		if (!cli->json)
			show(patch);
	json_decref(answer);
	return 0;
}
