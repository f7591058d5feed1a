/* SPDX-License-Identifier: MIT */
/*
 * methods THREADS [guarded] – so many threads, perhaps on stacks in one mapping (guards.h), call the
 * functions of methods_fns.S all the time; each returns its number, or 77 when it is replaced, and
 * nothing else ever.  "ask" prints what they return; "drop" gives the page of by_int3() and by_stop()
 * back to its file.
 */
#include "guards.h"
#include "svc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK (64 * 1024)

int by_pun(void);
int by_int3(void);
int by_stop(void);

char methods_room[1 << 20]; /* what lies above the text: see by_int3 */

static unsigned long calls, wrong;

static void expect(int r, int old)
{
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (r != old && r != 77)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void *caller(void *arg)
{
	for (;;) {
		for (int i = 0; i < 2000; i++) {
			expect(by_pun(), 1);
			expect(by_int3(), 2);
			expect(by_stop(), 3);
		}
		svc_nap_us(200);
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
	if (!strcmp(line, "drop")) {
		if (madvise((void *)((uintptr_t)by_stop & ~4095ul), 4096, MADV_DONTNEED))
			abort();
		printf("dropped\n");
		return true;
	}
	if (strcmp(line, "ask"))
		return false;
	printf("pun=%d int3=%d stop=%d\n", by_pun(), by_int3(), by_stop());
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc methods = {"methods", verdict, command};

	int n = argc > 1 ? atoi(argv[1]) : 1;
	char *stacks = argc > 2 ? guarded_stacks((size_t)n, STACK) : NULL;

	for (int i = 0; i < n; i++)
		if (!stacks)
			svc_thread(caller, NULL);
		else if (guarded_thread(stacks + i * STACK, STACK, caller, NULL))
			abort();
	svc_ready(&methods);
	while (svc_step(-1))
		;
	return svc_end();
}
