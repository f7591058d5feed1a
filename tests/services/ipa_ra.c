/* SPDX-License-Identifier: MIT */
/*
 * ipa_ra – plain gcc -O2: the caller has seen that scale() leaves most registers alone, and keeps
 * values in them across the call (-fipa-ra).  "naive" overwrites scale() with a body that uses
 * them, and prints what comes of it.
 */
#include "callsite.h"
#include "svc.h"

#include <string.h>

static unsigned long calls, wrong;

__attribute__((noinline)) int scale(int x)
{
	int r = x;

	for (int i = 0; i < 3; i++)
		r += x ^ i;
	return r;
}

static volatile int three = 3, five = 5;

__attribute__((noinline)) int keeps_registers(int a, int b, int c)
{
	int s = scale(a);

	return s + b * c;
}

/* As scale(), by way of code that gcc knows nothing of. */
__attribute__((noipa)) static int other_scale(int x)
{
	int r = scale(x);

	__asm__ volatile("" ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
	return r;
}

__attribute__((noipa)) static int naive_scale(int x)
{
	int r = x;

	__asm__ volatile("mov $-1, %%ecx\n\tmov $-1, %%edx\n\tmov $-1, %%esi\n\tmov $-1, %%edi\n\t"
			 "mov $-1, %%r8\n\tmov $-1, %%r9\n\tmov $-1, %%r10\n\tmov $-1, %%r11" ::
				 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
	for (int i = 0; i < 3; i++)
		r += x ^ i;
	return r;
}

static bool right(void)
{
	return keeps_registers(7, three, five) == other_scale(7) + 15;
}

static void *caller(void *arg)
{
	for (;;) {
		if (!right())
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
	callsite_overwrite((void *)scale, (void *)naive_scale);
	printf("naive: %s\n", right() ? "right" : "wrong");
	return true;
}

int main(void)
{
	static const struct svc ipa_ra = {"ipa_ra", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&ipa_ra);
	while (svc_step(-1))
		;
	return svc_end();
}
