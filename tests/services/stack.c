/* SPDX-License-Identifier: MIT */
/*
 * stack [THREADS] – three functions that call each other, under patches that lie on one another.
 * Every call is judged: each layer was on all of its functions or on none, and no call with a layer
 * overlapped one without it.
 *
 * "ask f" answers "f=CAo": the layers that a call goes through, from the topmost to the program's.
 */
#include "stack.h"

#include <string.h>

struct stack_truth truth;
__thread unsigned under;

static unsigned long calls, wrong, mixed;
static __thread char trace[16];
static __thread int traced = -1;

void note(char layer)
{
	if (traced >= 0 && traced < (int)sizeof(trace) - 1)
		trace[traced++] = layer;
}

/* The program's own code is a call without those patches that are not above it. */
static void enter(int fn)
{
	for (int p = 0; p < LAYERS; p++)
		if (stack_field[p][fn] >= 0 && !(under & 1u << p))
			overlap_enter(&truth.without[p], &truth.with[p], &truth.overlap);
}

static void leave(int fn)
{
	for (int p = 0; p < LAYERS; p++)
		if (stack_field[p][fn] >= 0 && !(under & 1u << p))
			overlap_leave(&truth.without[p], &truth.with[p], &truth.overlap);
}

#define FUNCTION(fn, number, next)                                                                 \
	__attribute__((noipa)) unsigned long fn(int level)                                         \
	{                                                                                          \
		unsigned long r = FIELD(stack_field[LAYERS][number]);                              \
		unsigned was = under;                                                              \
												\
		enter(number);                                                                     \
		note('o');                                                                         \
		stack_work(level);                                                                      \
		under = 0;                                                                         \
		if (level)                                                                         \
			r += next(level - 1);                                                      \
		under = was;                                                                       \
		leave(number);                                                                     \
		return r;                                                                          \
	}

FUNCTION(f, FN_F, g)
FUNCTION(g, FN_G, h)
FUNCTION(h, FN_H, f)

static unsigned long (*const fns[FNS])(int) = {f, g, h};

static unsigned field(unsigned long r, int n)
{
	return r >> (FIELD_BITS * n) & ((1u << FIELD_BITS) - 1);
}

static void judge(int first, int level, unsigned long r)
{
	unsigned n[FNS] = {0};

	for (int i = 0; i <= level; i++)
		n[(first + i) % FNS]++;
	for (int p = 0; p <= LAYERS; p++) {
		unsigned on = 0, off = 0;

		for (int fn = 0; fn < FNS; fn++) {
			unsigned k;

			if (stack_field[p][fn] < 0 || !n[fn])
				continue;
			k = field(r, stack_field[p][fn]);
			on += k == n[fn];
			off += k == 0;
			if (k && k != n[fn])
				__atomic_add_fetch(&mixed, 1, __ATOMIC_RELAXED);
		}
		if (on && off)
			__atomic_add_fetch(&mixed, 1, __ATOMIC_RELAXED);
		if (p == LAYERS && off)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	}
}

static void *caller(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0;; i++) {
		int first = (int)((i + seed) % FNS), level = (int)((i * 5 + seed) % STACK_LEVELS);

		judge(first, level, fns[first](level));
		__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
		if (i % 32 == 0)
			svc_nap_us(50);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu,\"mixed\":%lu,\"overlap\":%lu", calls, wrong,
		mixed, truth.overlap);
	return !wrong && !mixed && !truth.overlap;
}

static bool command(const char *line)
{
	if (strncmp(line, "ask ", 4) || line[4] < 'f' || line[4] > 'h')
		return false;
	traced = 0;
	memset(trace, 0, sizeof(trace));
	judge(line[4] - 'f', 0, fns[line[4] - 'f'](0));
	traced = -1;
	printf("%c=%s\n", line[4], trace);
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc stack = {"stack", verdict, command};
	int threads = svc_number(argc, argv, 1, 6);

	for (int i = 0; i < threads; i++)
		svc_thread(caller, (void *)(uintptr_t)i);
	svc_ready(&stack);
	while (svc_step(-1))
		;
	return svc_end();
}
