/* SPDX-License-Identifier: MIT */
/* cli/family.h – an operation on any number of processes: one table tells what became of each. */
#ifndef HP_CLI_FAMILY_H
#define HP_CLI_FAMILY_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"

/* POST @path with @body, which is taken.  With @print_id the hp_id goes to stdout when the patch is
 * in force anywhere.  The exit status, which hpd says. */
int hp_family_ask(const struct hp_cli *cli, const char *path, json_t *body, bool print_id);

#endif
