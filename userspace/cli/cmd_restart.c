/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/values.h"
#include "hp/err.h"

static bool add_text(const struct hp_cli *cli, const struct hp_args *args, const char *option,
		     json_t *body)
{
	const char *text = hp_args_get(args, option);

	if (!text)
		return true;
	if (*text && json_object_set_new(body, option, json_string(text)) == 0)
		return true;
	hp_cli_usage(cli, "--%s '%s' is empty, or no UTF-8", option, text);
	return false;
}

/* KEEP and EMPTY say where it begins, NAME=VALUE what is set on top of that. */
static bool add_env(const struct hp_cli *cli, const struct hp_args *args, json_t *body)
{
	json_t *set = json_object();

	if (json_object_set_new(body, "set", set) < 0)
		return false;
	for (size_t i = 0; i < args->n; i++) {
		const char *text = args->v[i].value, *eq = strchr(text, '=');

		if (!args->v[i].name || strcmp(args->v[i].name, "exec-env") != 0)
			continue;
		if (eq && eq != text && eq[1]) {
			if (json_object_setn_new(set, text, (size_t)(eq - text),
						 json_string(eq + 1)) == 0)
				continue;
		} else if (!strcasecmp(text, "keep") || !strcasecmp(text, "empty")) {
			json_t *way = json_string(text[0] == 'k' || text[0] == 'K' ? "keep" : "empty");

			if (json_object_set_new(body, "env", way) == 0)
				continue;
		}
		hp_cli_usage(cli, "--exec-env '%s' is none of KEEP, EMPTY, NAME=VALUE", text);
		return false;
	}
	return true;
}

static bool add_command(const struct hp_cli *cli, const struct hp_args *args, json_t *body)
{
	json_t *words = json_array();

	for (size_t i = 1; hp_args_word(args, i); i++)
		if (json_array_append_new(words, json_string(hp_args_word(args, i))) < 0) {
			json_decref(words);
			hp_cli_usage(cli, "'%s' is no UTF-8", hp_args_word(args, i));
			return false;
		}
	if (json_array_size(words))
		return json_object_set_new(body, "command", words) == 0;
	json_decref(words);
	return true;
}

static int build(const struct hp_cli *cli, const struct hp_args *args, json_t *body)
{
	const char *pid = hp_args_word(args, 0);
	char *end;
	long n;

	if (!pid)
		return hp_cli_usage(cli, "which process? PID is missing");
	errno = 0;
	n = strtol(pid, &end, 10);
	if (errno || *end || end == pid || n <= 0 || n > HP_PID_LIMIT)
		return hp_cli_usage(cli, "'%s' is no pid: a whole number above 0 is needed", pid);
	if (json_object_set_new(body, "pid", json_integer(n)) < 0 ||
	    !hp_value_options(cli, args, body) || !add_text(cli, args, "drain", body) ||
	    !add_text(cli, args, "user", body) || !add_text(cli, args, "pidfile", body) ||
	    !add_env(cli, args, body) || !add_command(cli, args, body))
		return HP_EXIT_USAGE;
	return 0;
}

static void tell(const struct hp_cli *cli, const json_t *answer)
{
	const json_t *drained = json_object_get(answer, "drained");
	int64_t left = hp_get_number(drained, "left_open");
	const json_t *warning;
	char took[32];
	size_t i;

	json_array_foreach (json_object_get(answer, "warnings"), i, warning)
		hp_tell(cli, "hpctl: warning: %s", json_string_value(warning));
	if (left)
		hp_tell(cli, "hpctl: %lld connection%s of the old process %s cut off at the deadline",
			(long long)left, left == 1 ? "" : "s", left == 1 ? "was" : "were");
	if (cli->verbose)
		hp_tell(cli, "ready in %s, generation %lld",
			hp_show_ns(hp_get_number(answer, "ready_ns"), took, sizeof(took)),
			(long long)hp_get_number(answer, "generation"));
}

int hp_cmd_restart(struct hp_cli *cli, const struct hp_args *args)
{
	json_t *body = json_object(), *answer;
	int k = build(cli, args, body);

	if (k) {
		json_decref(body);
		return k;
	}
	k = hp_ask_with_progress(cli, "/hp/v2/restart", body, &answer);
	if (!answer)
		return k;
	if (!cli->json)
		printf("%lld\n", (long long)hp_get_number(answer, "pid"));
	tell(cli, answer);
	json_decref(answer);
	return k;
}
