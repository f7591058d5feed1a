/* SPDX-License-Identifier: MIT */
/* cli/load_request.h – the body of load and check, out of options and --config. */
#ifndef HP_CLI_LOAD_REQUEST_H
#define HP_CLI_LOAD_REQUEST_H

#include <jansson.h>

#include "cli/cli.h"

/* 0 and *ret, or the exit status after the error was told.  *family: it is for a selector. */
int hp_load_request(const struct hp_cli *cli, const struct hp_args *args, json_t **ret,
		    bool *family);

#endif
