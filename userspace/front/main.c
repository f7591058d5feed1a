/* SPDX-License-Identifier: MIT */
/* hpd-front: started by hpd, with its socket as descriptor 3; of no use otherwise. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/helper.h"
#include "front/frontend.h"
#include "hp/err.h"

int main(int argc, char **argv)
{
	const int keep[] = {STDERR_FILENO, HP_FRONT_SOCKET};
	struct hp_err err;
	int type;
	socklen_t n = sizeof(type);

	if (argc > 1 || getsockopt(HP_FRONT_SOCKET, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
	    type != SOCK_SEQPACKET) {
		fprintf(stderr, "hpd-front is a part of hpd, which starts it: see hpd(8)\n");
		return HP_EXIT_USAGE;
	}
	if (hp_helper_begin("hpd-front", keep, sizeof(keep) / sizeof(keep[0])) < 0)
		return HP_EXIT_FAILED;
	/* At once: what exit(3) does on its way the filter need not allow. */
	_exit(hp_frontend_run(HP_FRONT_SOCKET, &err) < 0 ? HP_EXIT_FAILED : HP_EXIT_DONE);
}
