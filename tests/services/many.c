/* SPDX-License-Identifier: MIT */
/*
 * many [THREADS [blocked|working]] – MANY functions and any number of threads: blocked ones wait
 * in futex(2), working ones call all functions in turn.
 */
#include "many.h"
#include "svc.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS_A_SECOND 100000 /* of all threads together, 10 a nap */

static unsigned long calls, new_calls, wrong, started;
static unsigned nap_us;

static void *blocked(void *arg)
{
	static int word;

	__atomic_add_fetch(&started, 1, __ATOMIC_RELAXED);
	for (;;)
		if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *working(void *arg)
{
	__atomic_add_fetch(&started, 1, __ATOMIC_RELAXED);
	for (int i = 0;; i = (i + 1) % MANY) {
		int r = many_fn[i](i);

		if (r == MANY_NEW(i, i))
			__atomic_add_fetch(&new_calls, 1, __ATOMIC_RELAXED);
		else if (r != MANY_OLD(i, i))
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
		if (i % 10 == 0)
			svc_nap_us(nap_us);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"threads\":%lu,\"calls\":%lu,\"new_calls\":%lu,\"wrong\":%lu", started,
		calls, new_calls, wrong);
	return !wrong;
}

/* "ask": how many of the functions are new. */
static bool command(const char *line)
{
	int n = 0;

	if (strcmp(line, "ask"))
		return false;
	for (int i = 0; i < MANY; i++)
		n += many_fn[i](3) == MANY_NEW(i, 3);
	printf("new %d\n", n);
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc many = {"many", verdict, command};
	int n = svc_number(argc, argv, 1, 1);
	bool work = argc > 2 && !strcmp(argv[2], "working");

	nap_us = (unsigned)n * (10 * 1000000u / CALLS_A_SECOND) + 900;
	for (int i = 0; i < n; i++)
		svc_thread(work ? working : blocked, NULL);
	while (__atomic_load_n(&started, __ATOMIC_RELAXED) < (unsigned long)n)
		svc_nap_us(1000);
	svc_ready(&many);
	while (svc_step(-1))
		;
	return svc_end();
}
