/* SPDX-License-Identifier: MIT */
/*
 * stackalign – plain gcc -O2: the caller has seen that leaf() needs no aligned stack, and does not
 * align it (-fipa-stack-alignment).  "naive" overwrites leaf() with a body that stores SSE
 * registers to its stack: it dies.
 */
#include "callsite.h"
#include "svc.h"

#include <string.h>

static unsigned long calls, wrong;

__attribute__((noinline)) int leaf(int x)
{
	return x * 3 + 1;
}

__attribute__((noinline)) int skips_alignment(int x)
{
	return leaf(x) + 1;
}

__attribute__((noipa)) static void fill(char *p)
{
	p[0] = 1;
}

__attribute__((noipa)) static int naive_leaf(int x)
{
	char room[64] __attribute__((aligned(16))) = {0};

	fill(room);
	return x * 3 + room[0];
}

static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) & 0xff) {
		if (skips_alignment(x) != x * 3 + 2)
			wrong++;
		calls++;
		svc_nap_us(100);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu", calls, wrong);
	return !wrong;
}

static bool command(const char *line)
{
	if (strcmp(line, "naive"))
		return false;
	callsite_overwrite((void *)leaf, (void *)naive_leaf);
	printf("naive: %d\n", skips_alignment(1));
	return true;
}

int main(void)
{
	static const struct svc stackalign = {"stackalign", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&stackalign);
	while (svc_step(-1))
		;
	return svc_end();
}
