/* SPDX-License-Identifier: MIT */
/*
 * retained – new code leaves a pointer into itself behind.  "set" calls set_text(), "say" prints
 * the text, "forget" puts one of the program's own in its place.  "bury" puts it where guard pages
 * are all around, which "lock" makes a mapping without PROT_READ; "dig" takes it out of there.
 */
#include "guards.h"
#include "svc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE	GUARD_BYTES
#define N_PAGES 8

const char *text = "at first";
static const char **grave;

__attribute__((noipa)) void set_text(void)
{
	text = "of the program";
}

static void bury(void)
{
	char *m = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		abort();
	for (int i = 0; i < N_PAGES; i += 2)
		guard_page(m + i * PAGE);
	grave = (const char **)(m + 5 * PAGE);
	*grave = text;
	text = "buried";
}

/* The CPU reads there all the same. */
static void lock(void)
{
	if (mprotect((char *)grave - PAGE, 2 * PAGE, PROT_WRITE))
		abort();
}

static void dig(void)
{
	text = *grave;
	munmap((char *)grave - 5 * PAGE, N_PAGES * PAGE);
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
