/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/start.h"
#include "hp/err.h"

/* Connected is not served: a private hpd may be about to end.  Asking for its health is harmless
 * to repeat; what comes after is not. */
static int shake_hands(const char *path, int *ret, json_t **answer)
{
	const struct hp_call health = {.method = "GET", .path = "/hp/v2/health"};
	hp_autoclose int fd = -1;
	int k = hp_wire_connect(path, &fd);

	if (k < 0)
		return k;
	if (hp_wire_call(fd, &health, answer, NULL) < 0 || !*answer)
		return -ECONNREFUSED;
	*ret = HP_TAKE_FD(fd);
	return 0;
}

static int explain(const struct hp_cli *cli, int k, struct hp_err *err)
{
	if (k == -EACCES || k == -EPERM)
		return hp_err_set(err, -HP_E_DENIED, "%s: %s (run hpctl as root)", cli->socket,
				  strerror(-k));
	if (k != -ENOENT && k != -ECONNREFUSED)
		return hp_err_set(err, -HP_E_UNREACHABLE, "%s: %s", cli->socket, strerror(-k));
	if (!cli->may_start)
		return hp_err_set(err, -HP_E_UNREACHABLE, "no hpd serves %s", cli->socket);
	return hp_err_set(err, -HP_E_UNREACHABLE,
			  "hpd is not running (no socket at %s) and only root can start one",
			  cli->socket);
}

int hp_connect(int *ret_fd, const struct hp_cli *cli, struct hp_err *err)
{
	json_t *answer = NULL;
	hp_autoclose int fd = -1;
	int k = shake_hands(cli->socket, &fd, &answer);

	if ((k == -ENOENT || k == -ECONNREFUSED) && cli->may_start && geteuid() == 0) {
		struct hp_start *start;

		k = hp_start_begin(&start, cli->socket, err);
		if (k < 0)
			return k;
		/* Another hpctl may have started one while we waited for our turn. */
		k = shake_hands(cli->socket, &fd, &answer);
		if (k == -ENOENT || k == -ECONNREFUSED) {
			k = hp_start_hpd(start, cli->verbose, err);
			if (k == 0)
				k = shake_hands(cli->socket, &fd, &answer);
			else
				return hp_start_end(start), k;
		}
		hp_start_end(start);
	}
	if (k < 0)
		return explain(cli, k, err);
	k = hp_wire_error(answer, err);
	json_decref(answer);
	if (k == 0)
		*ret_fd = HP_TAKE_FD(fd);
	return k;
}
