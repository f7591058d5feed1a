/* SPDX-License-Identifier: MIT */
/*
 * server – the plainest service, built in every way a program can be linked.  "ask N" prints
 * answer(N): N+1 of old, N+1000 or N+2000 of new code; a thread checks it all the time.
 */
#include "svc.h"

#include <stdlib.h>
#include <string.h>

__thread int own_number = 42; /* a patch refers to it by TPOFF */
int counter;

static unsigned long calls, wrong;

__attribute__((noipa)) int answer(int x)
{
	return x + 1;
}

static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) & 0xfff) {
		int r = answer(x);

		if (r != x + 1 && r != x + 1000 && r != x + 2000)
			wrong++;
		calls++;
		if (x % 16 == 0)
			svc_nap_us(100);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu,\"counter\":%d", calls, wrong, counter);
	return !wrong && own_number == 42;
}

static bool command(const char *line)
{
	if (strncmp(line, "ask ", 4))
		return false;
	printf("answer %d\n", answer(atoi(line + 4)));
	return true;
}

int main(void)
{
	static const struct svc server = {"server", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&server);
	while (svc_step(-1))
		;
	return svc_end();
}
