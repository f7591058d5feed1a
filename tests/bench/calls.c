/* SPDX-License-Identifier: MIT */
/* What a call costs: many short runs, of which few are disturbed, before, while and after. */
#include "../services/call.h"
#include "bench.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS         1000000u
#define RUNS          31
#define CALLS_WATCHED 5000u
#define WATCHED_LIKE  5 /* times a call that is not */
#define PATIENCE_NS   5000000000u
#define CYCLES        7

/* Picoseconds a call. */
static void time_calls(struct service *s, uint64_t n, int runs, struct samples *ret)
{
	*ret = (struct samples){0};
	for (int i = 0; i < runs; i++) {
		s->shared->took_ns = 0;
		s->shared->n = n;
		service_do(s, DO_TIME);
		while (!__atomic_load_n(&s->shared->took_ns, __ATOMIC_ACQUIRE))
			nap_ns(200000);
		add(ret, s->shared->took_ns * 1000 / n);
	}
	service_do(s, DO_REST);
}

/* hpd counts calls as long as this connection stays. */
static int begin_watching(const struct service *s)
{
	char request[256], body[64];
	int fd = call_connect(opt.socket_path), n;

	n = snprintf(body, sizeof(body), "{\"pid\":%d}", (int)s->pid);
	n = snprintf(request, sizeof(request),
		     "POST /hp/v2/watch HTTP/1.1\r\nHost: hp\r\nContent-Type: application/json\r\n"
		     "Accept: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s",
		     n, body);
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		die("watch");
	return fd;
}

/* 0: watching did not begin in time. */
static double time_watched(struct service *s, double not_watched)
{
	int fd = begin_watching(s);
	uint64_t end = now_ns() + PATIENCE_NS;
	struct samples t;
	double ns;

	do {
		time_calls(s, CALLS_WATCHED, 3, &t);
		ns = (double)percentile(&t, 50) / 1e3;
	} while (ns < not_watched * WATCHED_LIKE && now_ns() < end);
	close(fd);
	return ns < not_watched * WATCHED_LIKE ? 0 : ns;
}

struct calls {
	struct samples unpatched, patched, after; /* of the last cycle */
	struct samples first_more, second_more;   /* median minus median, least minus least */
	double watched, after_more;
};

static uint64_t more(struct samples *a, struct samples *b, int p)
{
	uint64_t x = percentile(a, p), y = percentile(b, p);

	return y > x ? y - x : 0;
}

static void cycle(struct calls *c, bool watch)
{
	struct service s;
	struct loaded l;

	service_start(&s, 1, 1);
	time_calls(&s, CALLS, RUNS, &c->unpatched);
	load_surely(&s, &l, patch_path(1));
	time_calls(&s, CALLS, RUNS, &c->patched);
	add(&c->first_more, more(&c->unpatched, &c->patched, 50));
	add(&c->second_more, more(&c->unpatched, &c->patched, 0));
	if (watch)
		c->watched = time_watched(&s, (double)percentile(&c->patched, 50) / 1e3);
	(void)unload(&s, &l, "auto");
	time_calls(&s, CALLS, RUNS, &c->after);
	c->after_more =
		((double)percentile(&c->after, 50) - (double)percentile(&c->unpatched, 50)) / 1e3;
	service_stop(&s);
}

static double ns(struct samples *s, int p)
{
	return (double)percentile(s, p) / 1e3;
}

json_t *measure_calls(void)
{
	static struct calls c;

	for (int i = 0; i < CYCLES; i++)
		cycle(&c, i == CYCLES - 1);
	fprintf(opt.table,
		"\nNanoseconds a call, medians of %d runs (least):\n"
		"  unpatched %.2f (%.2f), patched %.2f (%.2f), after unload %.2f (%.2f), watched "
		"%.0f\n"
		"  a patched call costs %+.2f (%+.2f) more, median of %d processes\n",
		RUNS, ns(&c.unpatched, 50), ns(&c.unpatched, 0), ns(&c.patched, 50),
		ns(&c.patched, 0), ns(&c.after, 50), ns(&c.after, 0), c.watched,
		ns(&c.first_more, 50), ns(&c.second_more, 50), CYCLES);
	return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "unpatched", ns(&c.unpatched, 50),
			 "unpatched_least", ns(&c.unpatched, 0), "patched", ns(&c.patched, 50),
			 "patched_least", ns(&c.patched, 0), "after_unload", ns(&c.after, 50),
			 "patched_more", ns(&c.first_more, 50), "patched_more_least",
			 ns(&c.second_more, 50), "after_unload_more", c.after_more, "watched",
			 c.watched);
}
