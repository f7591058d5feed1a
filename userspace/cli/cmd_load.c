/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/family.h"
#include "cli/load_request.h"
#include "cli/output.h"
#include "cli/progress.h"

static void tell_superseded(const struct hp_cli *cli, const json_t *s)
{
	const char *state = hp_get_text(s, "state"), *detail = hp_get_text(s, "detail");
	const char *id = hp_get_text(s, "hp_id");

	if (!strcmp(state, "retained"))
		hp_tell(cli,
			"hpctl: %.12s, which it supersedes, is out of use but stays mapped until "
			"nothing points to it: %s",
			id, detail);
	else if (!strcmp(state, "superseded"))
		hp_tell(cli, "hpctl: %.12s, which it supersedes, stays loaded below it: %s", id,
			detail);
	else if (cli->verbose || *detail)
		hp_tell(cli, "%.12s, which it supersedes, is unloaded%s%s", id, *detail ? ": " : "",
			detail);
}

static void tell(const struct hp_cli *cli, const json_t *r)
{
	int64_t old = hp_get_number(r, "on_old_code");
	char total[32], gate[32], park[32];
	json_t *s;
	size_t i;

	if (old)
		hp_tell(cli,
			"hpctl: %lld thread%s still in the old code until the call is over; hpctl "
			"list tells how many",
			(long long)old, old == 1 ? " is" : "s are");
	json_array_foreach (json_object_get(r, "superseded"), i, s)
		tell_superseded(cli, s);
	if (cli->verbose)
		hp_tell(cli, "loaded in %s by %s, gate closed %s, longest park %s, tries %lld",
			hp_show_ns(hp_get_number(r, "total_ns"), total, sizeof(total)),
			hp_get_text(r, "quiesce"),
			hp_show_ns(hp_get_number(r, "gate_ns"), gate, sizeof(gate)),
			hp_show_ns(hp_get_number(r, "longest_park_ns"), park, sizeof(park)),
			(long long)hp_get_number(r, "tries"));
}

int hp_cmd_load(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body, *answer;
	bool family;
	int k;

	if (hp_args_get(args, "dry-run"))
		return hp_cmd_check(cli, args);
	k = hp_load_request(cli, args, &body, &family);
	if (k == 0 && family)
		return hp_family_ask(cli, "/hp/v2/load", body, true);
	if (k == 0)
		k = hp_ask_with_progress(cli, "/hp/v2/load", body, &answer);
	if (k)
		return k;
	if (!cli->json)
		printf("%s\n", hp_get_text(answer, "hp_id"));
	tell(cli, answer);
	json_decref(answer);
	return 0;
}
