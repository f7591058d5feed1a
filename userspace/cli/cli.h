/* SPDX-License-Identifier: MIT */
/* cli/cli.h – one call of hpctl: its global options, and the table of verbs. */
#ifndef HP_CLI_CLI_H
#define HP_CLI_CLI_H

#include <stdbool.h>

#include "cli/options.h"

struct hp_cli {
	const char *socket;
	bool may_start; /* nobody named a socket: a private hpd may serve the usual one */
	bool json, quiet, verbose;
	bool progress; /* stderr is a terminal and may be drawn on */
	const struct hp_verb *verb;
};

struct hp_verb {
	const char *name;
	const char *args;    /* of the usage line */
	const char *summary; /* one line */
	const char *text;    /* more, for `hpctl VERB --help`; lines end in \n */
	const struct hp_opt *opts;
	/* The exit status. */
	int (*run)(struct hp_cli *cli, const struct hp_args *args);
};

/* Ends with name NULL. */
extern const struct hp_verb hp_verbs[];
/* Those that every verb takes, before or after it. */
extern const struct hp_opt hp_global_opts[];

int hp_cmd_load(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_unload(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_list(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_status(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_check(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_explain(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_watch(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_sign(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_verify(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_policy(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_top(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_serve(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_restart(struct hp_cli *cli, const struct hp_args *args);
int hp_cmd_doctor(struct hp_cli *cli, const struct hp_args *args);

/* hpctl(1), as main() calls it. */
int hp_cli_main(int argc, char **argv);

/* "hpctl load: <sentence> (see hpctl load --help)" on stderr; HP_EXIT_USAGE. */
int hp_cli_usage(const struct hp_cli *cli, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
