/* SPDX-License-Identifier: MIT */
#include "served.h"
#include "tied.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000

pid_t served;
static int to_service = -1;
static FILE *from_service;

void served_die(const char *what)
{
	perror(what);
	exit(2);
}

void served_say(const char *line)
{
	dprintf(to_service, "%s\n", line);
}

void served_start(char **argv)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		served_die("pipe");
	served = tied_fork();
	if (!served) {
		if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	to_service = in[1];
	from_service = fdopen(out[0], "r");
}

/* The next line of the service that begins with @begin, in @line. */
void served_await(const char *begin, char line[SERVED_LINE])
{
	struct pollfd p = {.fd = fileno(from_service), .events = POLLIN};

	do {
		if (poll(&p, 1, PATIENCE_MS) <= 0 || !fgets(line, SERVED_LINE, from_service)) {
			fprintf(stderr, "the service does not say \"%s\"\n", begin);
			kill(served, SIGKILL);
			exit(1);
		}
	} while (strncmp(line, begin, strlen(begin)) != 0);
}

void served_tell(const char *command, const char *begin, char line[SERVED_LINE])
{
	served_say(command);
	served_await(begin, line);
}
