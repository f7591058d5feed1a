/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdlib.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void nap_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
			     .tv_nsec = (long)(ns % 1000000000u)};

	nanosleep(&t, NULL);
}

/* The targets end with us: PR_SET_PDEATHSIG. */
void die(const char *what)
{
	perror(what);
	exit(2);
}

void add(struct samples *s, uint64_t v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t percentile(struct samples *s, int p)
{
	int i;

	if (!s->n)
		return 0;
	qsort(s->v, (size_t)s->n, sizeof(s->v[0]), by_size);
	i = (s->n * p + 99) / 100 - 1;
	return s->v[i < 0 ? 0 : i];
}

void print_pair(struct samples *s, double unit, int width, int digits)
{
	fprintf(opt.table, " | %*.*f %*.*f", width, digits, (double)percentile(s, 50) / unit, width,
		digits, (double)percentile(s, 100) / unit);
}

json_t *summary(struct samples *s)
{
	return json_pack("{s:f,s:f,s:f,s:i}", "p50", (double)percentile(s, 50) / 1e3, "p99",
			 (double)percentile(s, 99) / 1e3, "max", (double)percentile(s, 100) / 1e3,
			 "n", s->n);
}
