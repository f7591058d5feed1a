/* SPDX-License-Identifier: MIT */
/*
 * svc.h – what every fake service has in common.
 *
 * A service prints "ready <pid>" on stdout, then works until it is told to end: by "quit" or the
 * end of its stdin, or by SIGTERM.  On "verdict" and at its end it prints one line of JSON:
 *
 *	{"service":"stress","pid":7,"ok":true,"eintr":0,"calls":123,...}
 *
 * The main thread waits in poll(2).  That no one ever sees EINTR there is part of what every
 * service checks: hp borrows just such threads.
 */
#ifndef SVC_H
#define SVC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct svc {
	const char *name;
	/* Prints more fields, each with a comma before it; false: something was wrong. */
	bool (*verdict)(FILE *out);
	/* A line from stdin that is neither "verdict" nor "quit"; false: unknown.  May be NULL. */
	bool (*command)(const char *line);
};

/* Prints "ready <pid>"; call it when everything is set up. */
void svc_ready(const struct svc *s);

/* Waits for commands, @timeout_ms at most (-1: for ever).  False when the service is to end. */
bool svc_step(int timeout_ms);

/* The descriptors that svc_step() waits on, for services with a loop of their own (two of them),
 * and what to do when one can be read: false when the service is to end. */
void svc_fds(int fd[2]);
bool svc_readable(void);

/* Prints the last verdict; what main() returns. */
int svc_end(void);

uint64_t svc_now_ns(void);
void svc_nap_us(unsigned us); /* nanosleep; counts EINTR */
int svc_number(int argc, char **argv, int i, int otherwise);

/* Starts a thread that is never joined. */
void svc_thread(void *(*fn)(void *), void *arg);

/* Calls that were cut short by a signal which no handler of the service's caused. */
extern unsigned long svc_eintr;

#ifdef __cplusplus
}
#endif
#endif
