/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/family.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/values.h"
#include "hp/err.h"

static void tell(const struct hp_cli *cli, const json_t *r)
{
	const char *detail = hp_get_text(r, "detail");
	char total[32], gate[32];

	if (json_is_true(json_object_get(r, "retained")))
		hp_tell(cli,
			"hpctl: %.12s is out of use but stays mapped until nothing points to it: %s "
			"(--discard unmaps it)",
			hp_get_text(r, "hp_id"), detail);
	else if (*detail)
		hp_tell(cli, "hpctl: %.12s is unloaded: %s", hp_get_text(r, "hp_id"), detail);
	if (cli->verbose)
		hp_tell(cli, "unloaded in %s, gate closed %s",
			hp_show_ns(hp_get_number(r, "total_ns"), total, sizeof(total)),
			hp_show_ns(hp_get_number(r, "gate_ns"), gate, sizeof(gate)));
}

static int build(const struct hp_cli *cli, const struct hp_args *args, json_t *body, bool *family)
{
	const char *id = hp_args_word(args, 0);

	if (!hp_value_targets(cli, args, true, body, family))
		return HP_EXIT_USAGE;
	if (!id)
		return hp_cli_usage(cli, "which patch? HP_ID is missing (hpctl list shows it)");
	if (hp_args_words(args) > 1)
		return hp_cli_usage(cli, "one patch at a time: '%s' is too much",
				    hp_args_word(args, 1));
	if (!*id || json_object_set_new(body, "id", json_string(id)) < 0)
		return hp_cli_usage(cli, "'%s' is no HP_ID", id);
	return hp_value_options(cli, args, body) ? 0 : HP_EXIT_USAGE;
}

int hp_cmd_unload(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body = json_object(), *answer;
	bool family;
	int k = build(cli, args, body, &family);

	if (k) {
		json_decref(body);
		return k;
	}
	if (family)
		return hp_family_ask(cli, "/hp/v2/unload", body, false);
	k = hp_ask_with_progress(cli, "/hp/v2/unload", body, &answer);
	if (k)
		return k;
	tell(cli, answer);
	json_decref(answer);
	return 0;
}
