/* SPDX-License-Identifier: MIT */
/* A server that tells each caller what system calls cost it: syscalls PORT.  Least of many rounds, in
 * nanoseconds, as JSON. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 1000
#define CALLS  2000

static int zero;

static void call_getppid(void)
{
	(void)syscall(SYS_getppid);
}

/* Not by the vdso, which asks no kernel. */
static void call_clock(void)
{
	struct timespec t;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
}

static void call_read(void)
{
	char byte;

	(void)!read(zero, &byte, 1);
}

static double least_ns(void (*call)(void))
{
	double least = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		struct timespec a, b;
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int k = 0; k < CALLS; k++)
			call();
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / CALLS;
		least = ns < least ? ns : least;
	}
	return least;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (argc != 2 || fd < 0 || zero < 0)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 16))
		return 1;
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	for (;;) {
		int caller = accept(fd, NULL, NULL);

		if (caller < 0)
			return 1;
		dprintf(caller, "{\"getppid\":%.1f,\"clock_gettime\":%.1f,\"read\":%.1f}\n",
			least_ns(call_getppid), least_ns(call_clock), least_ns(call_read));
		close(caller);
	}
}
