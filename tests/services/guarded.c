/* SPDX-License-Identifier: MIT */
/*
 * guarded – a thread calls work() all the time.  "ask" tells what it gave last; "split" changes the
 * protection of the page of work(), and changes it back; "drop" gives the page back to its file.
 */
#include "svc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul

static unsigned long calls, wrong;
static int last;

/* On a page of its own, so that what is dropped is its entry alone. */
__attribute__((noipa, aligned(4096))) int work(int x)
{
	return x + 1;
}

__attribute__((noipa, aligned(4096))) static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) & 0xff) {
		int more = work(x) - x;

		wrong += more != 1 && more != 1000;
		__atomic_store_n(&last, more, __ATOMIC_RELAXED);
		__atomic_store_n(&calls, calls + 1, __ATOMIC_RELAXED);
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
	void *page = (void *)((uintptr_t)work & ~(PAGE - 1));

	if (!strcmp(line, "split")) {
		if (mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) ||
		    mprotect(page, PAGE, PROT_READ | PROT_EXEC))
			abort();
	} else if (!strcmp(line, "drop")) {
		if (madvise(page, PAGE, MADV_DONTNEED))
			abort();
	} else if (!strcmp(line, "ask")) {
		printf("last %d\n", last);
		return true;
	} else {
		return false;
	}
	printf("done\n");
	return true;
}

int main(void)
{
	static const struct svc guarded = {"guarded", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&guarded);
	while (svc_step(-1))
		;
	return svc_end();
}
