/* SPDX-License-Identifier: MIT */
/* cli/values.h – what people write after options, as JSON for hpd.  False: a usage error was
 * printed. */
#ifndef HP_CLI_VALUES_H
#define HP_CLI_VALUES_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cli/cli.h"

#define HP_PID_LIMIT (1 << 22) /* PID_MAX_LIMIT of 64-bit kernels */

/* "5s", "50ms", "100us", "1m", or seconds without a unit; in milliseconds.  False: it is no time,
 * or more than an hour; nothing was printed. */
bool hp_value_ms(const char *text, double *ret);

/* -p; *ret is 0 when it was not given and is not @needed. */
bool hp_value_pid(const struct hp_cli *cli, const struct hp_args *args, bool needed, pid_t *ret);

/* Adds who is meant: one -p as "pid"; several, --children, --exe or --all as a selector (*family).
 * Nobody is an error if they are @needed. */
bool hp_value_targets(const struct hp_cli *cli, const struct hp_args *args, bool needed,
		      json_t *body, bool *family);

/* Adds the members that --mode, --quiesce, --timeout, --park and the flags stand for. */
bool hp_value_options(const struct hp_cli *cli, const struct hp_args *args, json_t *body);

/* Adds every --@option KEY=VALUE to the object @member of @body. */
bool hp_value_pairs(const struct hp_cli *cli, const struct hp_args *args, const char *option,
		    json_t *body, const char *member);

#endif
