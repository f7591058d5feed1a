/* SPDX-License-Identifier: MIT */
/* served.h – a service as the child of a test program, which speaks with it over two pipes. */
#ifndef SERVED_H
#define SERVED_H

#include <sys/types.h>

#define SERVED_LINE 2048

extern pid_t served;

/* Starts argv[0]; it dies with us. */
void served_start(char **argv);
void served_say(const char *line);
/* The service's next line that begins with @begin; without one in a minute the program ends. */
void served_await(const char *begin, char line[SERVED_LINE]);
/* Both. */
void served_tell(const char *command, const char *begin, char line[SERVED_LINE]);

__attribute__((noreturn)) void served_die(const char *what);

#endif
