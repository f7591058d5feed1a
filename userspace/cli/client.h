/* SPDX-License-Identifier: MIT */
/* cli/client.h – the way to an hpd. */
#ifndef HP_CLI_CLIENT_H
#define HP_CLI_CLIENT_H

#include "cli/cli.h"
#include "client/wire.h"

struct hp_err;

/* Connects and shakes hands; starts a private hpd when nobody listens and @cli allows it.
 * -HP_E_UNREACHABLE or -HP_E_DENIED. */
int hp_connect(int *ret_fd, const struct hp_cli *cli, struct hp_err *err);

#endif
