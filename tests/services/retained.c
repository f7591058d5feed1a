/* SPDX-License-Identifier: MIT */
/*
 * retained – new code leaves a pointer into itself behind.  "set" calls set_text(), "say" prints
 * the text, "forget" puts one of the program's own in its place.  "bury" puts it where guard pages
 * are all around, which "lock" makes a mapping without PROT_READ, "nest" where a thread has its stack
 * above it in the same memory; "dig" takes it out of there.
 */
#include "guards.h"
#include "svc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	GUARD_BYTES
#define N_PAGES 8
#define PLACE	5 /* the page of the pointer */
#define NEST	64
#define STACK	16 /* in the middle of those, … */
#define N_STACK 32 /* … so many */

const char *text = "at first";
static const char **grave;
static size_t grave_pages;
static pthread_t nested;
static int end_of_nested[2] = {-1, -1};

__attribute__((noipa)) void set_text(void)
{
	text = "of the program";
}

static char *bury_in(size_t pages)
{
	char *m = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		abort();
	grave = (const char **)(m + PLACE * PAGE);
	grave_pages = pages;
	*grave = text;
	text = "buried";
	return m;
}

static void bury(void)
{
	char *m = bury_in(N_PAGES);

	for (int i = 0; i < N_PAGES; i += 2)
		guard_page(m + i * PAGE);
}

static void *sit(void *arg)
{
	char c;

	return read(end_of_nested[0], &c, 1) == 1 ? NULL : arg;
}

static void nest(void)
{
	char *m = bury_in(NEST);
	pthread_attr_t a;

	if (pipe(end_of_nested) || pthread_attr_init(&a) ||
	    pthread_attr_setstack(&a, m + STACK * PAGE, N_STACK * PAGE) ||
	    pthread_create(&nested, &a, sit, NULL))
		abort();
	pthread_attr_destroy(&a);
}

/* The CPU reads there all the same. */
static void lock(void)
{
	if (mprotect((char *)grave - PAGE, 2 * PAGE, PROT_WRITE))
		abort();
}

static void dig(void)
{
	if (end_of_nested[1] >= 0) {
		if (write(end_of_nested[1], "", 1) != 1 || pthread_join(nested, NULL))
			abort();
		close(end_of_nested[0]);
		close(end_of_nested[1]);
		end_of_nested[1] = -1;
	}
	text = *grave;
	munmap((char *)grave - PLACE * PAGE, grave_pages * PAGE);
}

static bool command(const char *line)
{
	if (!strcmp(line, "set"))
		set_text();
	else if (!strcmp(line, "say"))
		printf("text %s\n", text);
	else if (!strcmp(line, "bury"))
		bury();
	else if (!strcmp(line, "lock"))
		lock();
	else if (!strcmp(line, "nest"))
		nest();
	else if (!strcmp(line, "dig"))
		dig();
	else if (!strcmp(line, "forget"))
		text = "forgotten";
	else
		return false;
	return true;
}

int main(void)
{
	static const struct svc retained = {"retained", NULL, command};

	svc_ready(&retained);
	while (svc_step(-1))
		;
	return svc_end();
}
