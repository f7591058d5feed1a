/* SPDX-License-Identifier: MIT */
/* Code of a patch that misbehaves: DO is what is done, WHERE says in which hook. */
#include <hp/patch.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int answer(int x);
extern pthread_mutex_t hostile_lock;
int new_answer(int x);

static int *volatile nowhere;
static const char *volatile no_string;
static volatile int forever = 1;
static volatile size_t length;

__attribute__((unused)) static void rude(void)
{
	DO;
}

#ifdef IN_NEW_CODE
HP_NEW int new_answer(int x)
{
	rude();
	return x + 1000;
}
#else
HP_NEW int new_answer(int x)
{
	return x + 1000 + (nowhere || no_string || !forever || length);
}
#endif

HP_REPLACE(new_answer, "answer");

#ifdef WHERE
HP_PATCH_HOOK(WHERE)
{
	rude();
	return 0;
}
#endif

#ifdef IN_CONSTRUCTOR
__attribute__((constructor)) static void build(void)
{
	rude();
}
#endif
