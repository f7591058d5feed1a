/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

#define TOKEN_FILE_MAX 4096

/* The first line of @file.  On the command line everybody could read it. */
static int add_token(const struct hp_cli *cli, const char *file, json_t *body)
{
	struct hp_err err;
	char *text;
	int k = hp_read_file(AT_FDCWD, file, TOKEN_FILE_MAX, &text, NULL);

	if (k < 0) {
		(void)hp_err_set(&err, -HP_E_NO_FILE, "open %s: %s", file, strerror(-k));
		return hp_tell_error(cli, &err);
	}
	text[strcspn(text, "\r\n")] = 0;
	k = json_object_set_new(body, "token", json_string(text));
	free(text);
	return k < 0 ? hp_cli_usage(cli, "%s: a token is one line of ASCII", file) : 0;
}

static void show(const json_t *l)
{
	printf("%s  process %lld, %s%s, %lld client%s, since %.19sZ\n", hp_get_text(l, "http"),
	       (long long)hp_get_number(l, "pid"),
	       json_is_true(json_object_get(l, "token")) ? "whoever has the token"
							  : "root and the process's owner",
	       json_is_true(json_object_get(l, "remote")) ? ", from everywhere" : "",
	       (long long)hp_get_number(l, "clients"),
	       hp_get_number(l, "clients") == 1 ? "" : "s", hp_get_text(l, "since"));
}

static int list(struct hp_cli *cli)
{
	const struct hp_call call = {.method = "GET", .path = "/hp/v2/served"};
	json_t *answer, *l;
	size_t i;
	int k = hp_ask(cli, &call, &answer);

	if (k)
		return k;
	if (!cli->json)
		json_array_foreach (json_object_get(answer, "listeners"), i, l)
			show(l);
	json_decref(answer);
	return 0;
}

static int post(struct hp_cli *cli, const char *path, json_t *body, bool tell)
{
	const struct hp_call call = {.method = "POST", .path = path, .body = body};
	json_t *answer;
	int k = hp_ask(cli, &call, &answer);

	json_decref(body);
	if (k)
		return k;
	if (tell && !cli->json)
		printf("%s\n", hp_get_text(json_object_get(answer, "listener"), "http"));
	json_decref(answer);
	return 0;
}

static int begin(struct hp_cli *cli, const struct hp_args *args, const char *addr)
{
	const char *file = hp_args_get(args, "token-file");
	json_t *body;
	pid_t pid;
	int k;

	if (!hp_value_pid(cli, args, true, &pid))
		return HP_EXIT_USAGE;
	body = json_pack("{s:i,s:s,s:b}", "pid", (int)pid, "http", addr, "allow_remote",
			 hp_args_get(args, "allow-remote") != NULL);
	if (!body)
		return hp_cli_usage(cli, "'%s' is no address", addr);
	k = hp_value_options(cli, args, body) ? 0 : HP_EXIT_USAGE;
	if (k == 0 && file)
		k = add_token(cli, file, body);
	if (k) {
		json_decref(body);
		return k;
	}
	return post(cli, "/hp/v2/serve", body, true);
}

int hp_cmd_serve(struct hp_cli *cli, const struct hp_args *args)
{
	const char *addr = hp_args_get(args, "http"), *stop = hp_args_get(args, "stop");
	bool lists = hp_args_get(args, "list") != NULL;
	json_t *body;

	if (hp_args_words(args))
		return hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	if ((addr != NULL) + (stop != NULL) + lists != 1)
		return hp_cli_usage(cli, "one of --http, --list and --stop is needed");
	if (lists)
		return list(cli);
	if (addr)
		return begin(cli, args, addr);
	body = json_pack("{s:s}", "http", stop);
	return body ? post(cli, "/hp/v2/unserve", body, false)
		    : hp_cli_usage(cli, "'%s' is no address", stop);
}
