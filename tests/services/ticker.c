/* SPDX-License-Identifier: MIT */
/* ticker [MS] – the demo's service: it prints one value, again and again. */
#include "svc.h"

int globalValue = 100;

static unsigned long ticks;

__attribute__((noinline)) void func1(void)
{
	printf("func1: %d\n", globalValue);
}

__attribute__((noinline)) void func2(void)
{
	printf("func2: %d\n", globalValue);
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"ticks\":%lu,\"globalValue\":%d", ticks, globalValue);
	return globalValue >= 100 && (globalValue - 100) % 15 == 0;
}

static bool command(const char *line)
{
	if (line[0] != '2')
		return false;
	func2();
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc ticker = {"ticker", verdict, command};
	int ms = svc_number(argc, argv, 1, 1000);
	uint64_t next;

	svc_ready(&ticker);
	next = svc_now_ns();
	for (;;) {
		uint64_t now = svc_now_ns();

		if (now >= next) {
			func1();
			ticks++;
			next += (uint64_t)ms * 1000000u;
			continue;
		}
		if (!svc_step((int)((next - now) / 1000000u) + 1))
			return svc_end();
	}
}
