/* SPDX-License-Identifier: MIT */
/*
 * service – the program that README and the manual patch.  "ask N" prints allowed(N); threads call
 * everything else that their examples name.
 */
#include "svc.h"

#include <stdlib.h>
#include <string.h>

int limit = 10;
int verbose;
int globalValue = 100;
static long served; /* service.c:served */

static unsigned long handled, refused, accepted;

__attribute__((noipa)) int allowed(int n)
{
	return n < limit;
}

__attribute__((noipa)) int handle(int fd)
{
	svc_nap_us(1000);
	if (fd < 0)
		return -2;
	served++;
	return 0;
}

__attribute__((noipa)) void func1(void)
{
	globalValue++;
}

__attribute__((noipa)) void func2(void)
{
	globalValue--;
}

/* The old handle() answers -2 to a bad descriptor, the manual's -1. */
static void *caller(void *arg)
{
	for (int n = 0;; n = (n + 1) % 20) {
		int r = handle(n % 4 ? n : -1);

		handled++;
		accepted += allowed(n);
		if (r == (n % 4 ? 0 : -1))
			continue;
		refused += r == -2;
		func1();
		func2();
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"handled\":%lu,\"refused\":%lu,\"accepted\":%lu,\"served\":%ld", handled,
		refused, accepted, served);
	return true;
}

static bool command(const char *line)
{
	if (strncmp(line, "ask ", 4))
		return false;
	printf("allowed(%d) is %d\n", atoi(line + 4), allowed(atoi(line + 4)));
	return true;
}

/* It never returns while the service runs. */
__attribute__((noipa)) void serve_loop(void)
{
	while (svc_step(-1))
		;
}

int main(void)
{
	static const struct svc service = {"service", verdict, command};

	svc_thread(caller, NULL);
	svc_thread(caller, NULL);
	svc_ready(&service);
	serve_loop();
	return svc_end();
}
