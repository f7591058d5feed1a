/* SPDX-License-Identifier: MIT */
/* cli/progress.h – what an operation is doing: a line on a terminal when it takes longer than a
 * second, every step with -v. */
#ifndef HP_CLI_PROGRESS_H
#define HP_CLI_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/client.h"

struct hp_progress {
	const struct hp_cli *cli;
	uint64_t since_ns;
	char step[64];
	bool drawn;
};

/* hp_ask() for POST @path with @body, which is taken, and progress shown. */
int hp_ask_with_progress(const struct hp_cli *cli, const char *path, json_t *body,
			 json_t **answer);

#endif
