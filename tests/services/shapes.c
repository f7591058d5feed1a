/* SPDX-License-Identifier: MIT */
/*
 * shapes – functions of the shapes that compilers and linkers of different settings give to a
 * program; one source, built in many ways (build.mk).  Four threads call them all and check what
 * they return: N of old, N+1000 of new code.  "hold NAME" has another thread wait inside one of
 * them, "release" lets it go on.
 *
 *	train		a number: so many rounds without the cold cases, then the end (for PGO)
 */
#include "svc.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#define noipa __attribute__((noinline))
#else
#define noipa __attribute__((noipa))
#endif
#define exported __attribute__((visibility("default"), used))
#define COLD	 7 /* what is never called in training */
#define ALL	 9

static sem_t hold, released;
static const char *volatile held = "";
static unsigned long calls, wrong;
int zero; /* as far as the compiler knows, anything */

exported noipa void wait_released(void)
{
	while (sem_wait(&released))
		;
}

/* Some calls and a frame. */
exported noipa int plain(int x)
{
	volatile char room[32] = {0};

	if (x == COLD)
		wait_released();
	return x + room[x & 31];
}

/* A part that the compiler takes for unlikely. */
exported noipa int rare(int x)
{
	if (__builtin_expect(x == COLD, 0)) {
		wait_released();
		calls += 0;
	}
	return x;
}

/* A jump table of which training never meets one case, which nothing else leads to: in a frame ... */
#define CASES(x)                                                                                   \
	switch (x) {                                                                               \
	case 0:                                                                                    \
		return (x) + zero;                                                                 \
	case 1:                                                                                    \
		return (x) - zero;                                                                 \
	case 2:                                                                                    \
		return (x) ^ zero;                                                                 \
	case 3:                                                                                    \
		return (x) | zero;                                                                 \
	case 4:                                                                                    \
		return (x) + 2 * zero;                                                             \
	case 5:                                                                                    \
		return (x) + zero * zero;                                                          \
	case 6:                                                                                    \
		return (x) - 3 * zero;                                                             \
	case COLD:                                                                                 \
		wait_released();                                                                   \
		return (x) + zero;                                                                 \
	}

exported noipa int choice(int x)
{
	volatile int sum = x;

	CASES(sum)
	return sum;
}

/* ... and in none. */
exported noipa int bare_choice(int x)
{
	CASES(x)
	return x;
}

__attribute__((noreturn)) exported noipa void end_thread(void)
{
	wait_released();
	pthread_exit(NULL);
}

/* Its last instruction is a call. */
exported noipa int ends(int x)
{
	if (x != COLD)
		return x;
	end_thread();
}

/* A jump at its end. */
exported noipa int tail(int x)
{
	return plain(x);
}

/* Two bodies of the same bytes: one, where the linker folds them. */
exported noipa int same_a(int x)
{
	volatile int y = x;

	return y;
}
exported noipa int same_b(int x)
{
	volatile int y = x;

	return y;
}

/* shapes_fns.S */
int by_hand(int x);
int by_hand_untold(int x);
int by_hand_loop(int x);

/* Volatile, or clang knows what a call of them returns. */
static const struct shape {
	const char *name;
	int (*volatile fn)(int);
} shape[] = {
	{"plain", plain},
	{"rare", rare},
	{"choice", choice},
	{"bare_choice", bare_choice},
	{"ends", ends},
	{"tail", tail},
	{"same_a", same_a},
	{"same_b", same_b},
	{"by_hand", by_hand},
	{"by_hand_untold", by_hand_untold},
	{"by_hand_loop", by_hand_loop},
};
#define SHAPES (sizeof(shape) / sizeof(shape[0]))

static void call_all(int x)
{
	for (size_t i = 0; i < SHAPES; i++) {
		int r = shape[i].fn(x);

		if (r != x && r != x + 1000)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	}
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
}

static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) % ALL) {
		if (x != COLD)
			call_all(x);
		if (x == 0)
			svc_nap_us(100);
	}
	return NULL;
}

static void *holder(void *arg)
{
	for (;;) {
		while (sem_wait(&hold))
			;
		for (size_t i = 0; i < SHAPES; i++)
			if (!strcmp(shape[i].name, held) && shape[i].fn(COLD) % 1000 != COLD)
				wrong++;
		printf("released\n");
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
	static char name[64];

	if (!strncmp(line, "hold ", 5)) {
		snprintf(name, sizeof(name), "%s", line + 5);
		held = name;
		sem_post(&hold);
		printf("holds %s\n", name);
		return true;
	}
	if (!strcmp(line, "release")) {
		sem_post(&released);
		return true;
	}
	if (strcmp(line, "all"))
		return false;
	for (size_t i = 0; i < SHAPES; i++)
		printf("%s%s=%d", i ? " " : "", shape[i].name, shape[i].fn(2));
	printf("\n");
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc shapes = {"shapes", verdict, command};
	int rounds = svc_number(argc, argv, 1, 0);

	sem_init(&hold, 0, 0);
	sem_init(&released, 0, 0);
	for (int i = 0; i < rounds; i++)
		if (i % ALL != COLD)
			call_all(i % ALL);
	if (rounds)
		return 0;
	for (int i = 0; i < 4; i++)
		svc_thread(caller, NULL);
	svc_thread(holder, NULL);
	svc_ready(&shapes);
	while (svc_step(-1))
		;
	return svc_end();
}
