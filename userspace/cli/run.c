/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/defaults.h"
#include "base/log.h"
#include "hp/err.h"

int hp_cli_usage(const struct hp_cli *cli, const char *fmt, ...)
{
	const char *name = cli->verb ? cli->verb->name : "";
	const char *space = cli->verb ? " " : "";
	va_list ap;

	fprintf(stderr, "hpctl%s%s: ", space, name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see hpctl%s%s --help)\n", space, name);
	return HP_EXIT_USAGE;
}

static void help(void)
{
	printf("usage: hpctl [OPTION...] VERB [ARGUMENT...]\n"
	       "\n"
	       "Changes the code of a running process without restarting it.\n"
	       "\n");
	for (const struct hp_verb *v = hp_verbs; v->name; v++)
		printf("  %-10s %s\n", v->name, v->summary);
	printf("\n");
	hp_options_help(stdout, hp_global_opts);
	printf("\n"
	       "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 not quiescent in time,\n"
	       "5 not permitted or hpd out of reach, 6 left partly done.\n"
	       "hpctl VERB --help says more; so does hpctl(1).\n");
}

static void verb_help(const struct hp_verb *v)
{
	printf("usage: hpctl %s%s%s%s\n\n%c%s.\n%s", v->name, v->opts->name ? " [OPTION...]" : "",
	       *v->args ? " " : "", v->args, v->summary[0] - 'a' + 'A', v->summary + 1, v->text);
	if (v->opts->name) {
		printf("\n");
		hp_options_help(stdout, v->opts);
	}
	printf("\n");
	hp_options_help(stdout, hp_global_opts);
}

static const struct hp_verb *find_verb(const char *name)
{
	for (const struct hp_verb *v = hp_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static void set_globals(struct hp_cli *cli, const struct hp_args *args)
{
	const char *socket = hp_args_get(args, "socket");

	if (socket) {
		cli->socket = socket;
		cli->may_start = false;
	}
	cli->json |= hp_args_get(args, "json") != NULL;
	cli->quiet |= hp_args_get(args, "quiet") != NULL;
	cli->verbose |= hp_args_get(args, "verbose") != NULL;
}

static struct hp_cli defaults(void)
{
	const char *socket = getenv("HP_SOCKET");
	const char *no_color = getenv("NO_COLOR");
	struct hp_cli cli = {.socket = HP_DEFAULT_SOCKET, .may_start = true};

	if (socket && *socket) {
		cli.socket = socket;
		cli.may_start = false;
	}
	cli.progress = isatty(STDERR_FILENO) && !(no_color && *no_color);
	return cli;
}

/* True: --help or --version was all that was asked for. */
static bool only_told(const struct hp_cli *cli, const struct hp_args *args)
{
	if (hp_args_get(args, "help")) {
		if (cli->verb)
			verb_help(cli->verb);
		else
			help();
		return true;
	}
	if (hp_args_get(args, "version")) {
		printf("hpctl %s\n", HP_VERSION);
		return true;
	}
	return false;
}

int hp_cli_main(int argc, char **argv)
{
	struct hp_cli cli = defaults();
	static struct hp_args args;
	char why[256];
	int at;

	signal(SIGPIPE, SIG_IGN);
	if (!hp_options_parse(&args, hp_global_opts, NULL, argc, argv, true, &at, why, sizeof(why)))
		return hp_cli_usage(&cli, "%s", why);
	if (only_told(&cli, &args))
		return HP_EXIT_DONE;
	set_globals(&cli, &args);
	if (at >= argc)
		return hp_cli_usage(&cli, "no verb given");
	cli.verb = find_verb(argv[at]);
	if (!cli.verb)
		return hp_cli_usage(&cli, "unknown verb '%s'", argv[at]);
	if (!hp_options_parse(&args, cli.verb->opts, hp_global_opts, argc - at, argv + at, false,
			      NULL, why, sizeof(why)))
		return hp_cli_usage(&cli, "%s", why);
	if (only_told(&cli, &args))
		return HP_EXIT_DONE;
	set_globals(&cli, &args);
	at = cli.verb->run(&cli, &args);
	/* A result that was not written is no success: "hpctl load >/dev/full". */
	if ((fflush(stdout) || ferror(stdout)) && at == HP_EXIT_DONE) {
		fprintf(stderr, "hpctl: standard output: %m\n");
		return HP_EXIT_FAILED;
	}
	return at;
}
