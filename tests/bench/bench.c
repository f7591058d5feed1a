/* SPDX-License-Identifier: MIT */
/*
 * bench --socket S --target PROGRAM --patches DIR --json FILE [--loads N] [--quick]
 *
 * What a load costs, measured from outside (wall time of hpd's answer) and from inside (the longest
 * gap between two readings of the clock of a thread of the target, while the load runs and, for the
 * same span, while nothing runs).  JSON into FILE, a table on stdout.
 */
#include "../services/call.h"
#include "shared.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX  256
#define TIME_CALLS   20000000u
#define TIME_WATCHED 50000u
#define TIME_TRIES   7
#define PATIENCE_NS  60000000000u

static struct bench_shared *shared;
static char shared_path[64];
static const char *socket_path, *target_program, *patches;
static pid_t target;
static int hpd;
static int loads = 20;

struct samples {
	uint64_t v[SAMPLES_MAX];
	int n;
};

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	if (target > 0)
		kill(target, SIGKILL);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
			     .tv_nsec = (long)(ns % 1000000000u)};

	nanosleep(&t, NULL);
}

/* --- samples ------------------------------------------------------------------------ */

static void add(struct samples *s, uint64_t v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t percentile(struct samples *s, int p)
{
	int i;

	if (!s->n)
		return 0;
	qsort(s->v, (size_t)s->n, sizeof(s->v[0]), by_size);
	i = (s->n * p + 99) / 100 - 1;
	return s->v[i < 0 ? 0 : i];
}

static void print_pair(struct samples *s, double unit, int width, int digits)
{
	printf(" | %*.*f %*.*f", width, digits, (double)percentile(s, 50) / unit, width, digits,
	       (double)percentile(s, 100) / unit);
}

/* {"p50":…,"p99":…,"max":…} in microseconds */
static json_t *summary(struct samples *s)
{
	return json_pack("{s:f,s:f,s:f,s:i}", "p50", (double)percentile(s, 50) / 1e3, "p99",
			 (double)percentile(s, 99) / 1e3, "max", (double)percentile(s, 100) / 1e3,
			 "n", s->n);
}

/* --- the target --------------------------------------------------------------------- */

static void start_target(int threads)
{
	char n[16];
	uint64_t end;

	memset(shared, 0, sizeof(*shared));
	snprintf(n, sizeof(n), "%d", threads);
	target = fork();
	if (!target) {
		execl(target_program, target_program, shared_path, n, (char *)NULL);
		_exit(127);
	}
	end = now_ns() + PATIENCE_NS;
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < threads) {
		if (now_ns() > end)
			die("the target does not start");
		nap_ns(1000000);
	}
}

static void stop_target(void)
{
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	target = 0;
}

static void spin(enum bench_spin how)
{
	uint64_t end = now_ns() + PATIENCE_NS;

	__atomic_store_n(&shared->spin, (int)how, __ATOMIC_RELEASE);
	__atomic_add_fetch(&shared->window, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&shared->window_seen, __ATOMIC_ACQUIRE) != shared->window) {
		if (now_ns() > end)
			die("the target does not answer");
		nap_ns(100000);
	}
}

static uint64_t longest(void)
{
	return __atomic_load_n(&shared->longest_ns, __ATOMIC_ACQUIRE);
}

/* Nanoseconds a call, the best of some tries. */
static double ns_a_call(uint64_t n)
{
	double best = 1e9;

	for (int i = 0; i < TIME_TRIES; i++) {
		double took;

		shared->took_ns = 0;
		shared->n = n;
		spin(SPIN_TIME);
		while (!__atomic_load_n(&shared->took_ns, __ATOMIC_ACQUIRE))
			nap_ns(1000000);
		took = (double)shared->took_ns / (double)n;
		best = took < best ? took : best;
	}
	spin(SPIN_REST);
	return best;
}

struct memory {
	long maps, dirty_kb;
};

static struct memory memory_of_target(void)
{
	struct memory m = {0};
	char path[64], line[4352];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)target);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		long kb;

		if (sscanf(line, "Private_Dirty: %ld", &kb) == 1) {
			m.dirty_kb += kb;
			m.maps++;
		}
	}
	fclose(f);
	return m;
}

/* --- one load and unload ------------------------------------------------------------ */

struct trip {
	char id[80];
	uint64_t load_ns, unload_ns;
	uint64_t load_gap_ns, unload_gap_ns, idle_gap_ns;
	uint64_t load_calls, idle_calls;
	uint64_t gate_ns, park_ns, tries, added_bytes;
};

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void load(struct trip *t, const char *patch, const char *quiesce)
{
	const json_t *answer;
	uint64_t begin = now_ns();
	const char *id = call_load(hpd, target, patch, quiesce, &answer);

	t->load_ns = now_ns() - begin;
	if (!id)
		die("load failed");
	snprintf(t->id, sizeof(t->id), "%s", id);
	t->gate_ns = number(answer, "gate_ns");
	t->park_ns = number(answer, "longest_park_ns");
	t->tries = number(answer, "tries");
	t->added_bytes = number(answer, "memory_bytes");
}

static void unload(struct trip *t, const char *quiesce)
{
	const json_t *answer;
	uint64_t begin = now_ns();

	if (call_unload(hpd, target, t->id, quiesce, &answer))
		die("unload failed");
	t->unload_ns = now_ns() - begin;
}

/* There and back with the spinning thread at @how, and the same span with nothing going on. */
static void trip(struct trip *t, enum bench_spin how, const char *patch, const char *quiesce)
{
	uint64_t calls;

	spin(how);
	calls = shared->calls;
	load(t, patch, quiesce);
	t->load_gap_ns = longest();
	t->load_calls = shared->calls - calls;
	spin(how);
	unload(t, quiesce);
	t->unload_gap_ns = longest();
	spin(how);
	calls = shared->calls;
	nap_ns(t->load_ns);
	t->idle_gap_ns = longest();
	t->idle_calls = shared->calls - calls;
	spin(SPIN_REST);
}

static const char *patch_path(int functions)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/bench_patch_%d.so", patches, functions);
	return path;
}

/* --- the tables --------------------------------------------------------------------- */

static json_t *measure_loads(int threads, int functions)
{
	struct samples load_s = {0}, unload_s = {0}, clock = {0}, call = {0}, clock_un = {0},
		       call_un = {0}, idle = {0}, park = {0};
	struct memory before, during, after;
	struct trip t = {0};
	json_t *row;

	start_target(threads);
	trip(&t, SPIN_REST, patch_path(functions),
	     "auto"); /* what the first load leaves for good */
	before = memory_of_target();
	load(&t, patch_path(functions), "auto");
	during = memory_of_target();
	unload(&t, "auto");
	after = memory_of_target();
	for (int i = 0; i < loads; i++) {
		trip(&t, SPIN_CLOCK, patch_path(functions), "auto");
		add(&load_s, t.load_ns);
		add(&unload_s, t.unload_ns);
		add(&clock, t.load_gap_ns);
		add(&clock_un, t.unload_gap_ns);
		add(&idle, t.idle_gap_ns);
		trip(&t, SPIN_CALL, patch_path(functions), "auto");
		add(&load_s, t.load_ns);
		add(&unload_s, t.unload_ns);
		add(&call, t.load_gap_ns);
		add(&call_un, t.unload_gap_ns);
		add(&idle, t.idle_gap_ns);
		add(&park, t.park_ns);
	}
	stop_target();
	row = json_pack("{s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:I,s:I,s:I,s:I,s:I}}",
			"threads", threads, "functions", functions, "load_us", summary(&load_s),
			"unload_us", summary(&unload_s), "gap_uninvolved_load_us", summary(&clock),
			"gap_uninvolved_unload_us", summary(&clock_un), "gap_caller_load_us",
			summary(&call), "gap_caller_unload_us", summary(&call_un), "gap_without_us",
			summary(&idle), "longest_park_us", summary(&park), "memory", "mapped_bytes",
			(json_int_t)t.added_bytes, "added_dirty_kb",
			(json_int_t)(during.dirty_kb - before.dirty_kb), "left_dirty_kb",
			(json_int_t)(after.dirty_kb - before.dirty_kb), "added_maps",
			(json_int_t)(during.maps - before.maps), "left_maps",
			(json_int_t)(after.maps - before.maps));
	printf("%7d %9d", threads, functions);
	print_pair(&load_s, 1e6, 7, 1);
	print_pair(&unload_s, 1e6, 7, 1);
	print_pair(&clock, 1e3, 6, 0);
	print_pair(&call, 1e3, 6, 0);
	print_pair(&idle, 1e3, 6, 0);
	printf(" | %5ld %5ld\n", during.dirty_kb - before.dirty_kb,
	       after.dirty_kb - before.dirty_kb);
	fflush(stdout);
	return row;
}

/* hpd counts calls as long as this connection stays. */
static int begin_watching(void)
{
	char request[256], body[64], answer[256];
	int fd = call_connect(socket_path), n;

	n = snprintf(body, sizeof(body), "{\"pid\":%d}", (int)target);
	n = snprintf(request, sizeof(request),
		     "POST /hp/v2/watch HTTP/1.1\r\nHost: hp\r\nContent-Type: application/json\r\n"
		     "Accept: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s",
		     n, body);
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n ||
	    recv(fd, answer, sizeof(answer), 0) <= 0)
		die("watch");
	return fd;
}

static bool counting(void)
{
	char path[64];
	json_t *answer, *first;
	bool yes;
	int status;

	snprintf(path, sizeof(path), "/hp/v2/status?pid=%d", (int)target);
	answer = call_hpd(hpd, path, NULL, &status);
	first = json_array_get(json_object_get(answer, "targets"), 0);
	yes = json_is_true(json_object_get(first, "counting"));
	json_decref(answer);
	return yes;
}

static json_t *measure_calls(void)
{
	double unpatched, patched, watched, after;
	uint64_t end = now_ns() + 10000000000u;
	struct trip t = {0};
	int watch;

	start_target(1);
	unpatched = ns_a_call(TIME_CALLS);
	load(&t, patch_path(1), "auto");
	patched = ns_a_call(TIME_CALLS);
	watch = begin_watching();
	while (!counting() && now_ns() < end)
		nap_ns(10000000);
	watched = counting() ? ns_a_call(TIME_WATCHED) : -1;
	close(watch);
	unload(&t, "auto");
	after = ns_a_call(TIME_CALLS);
	stop_target();
	printf("\nns a call: unpatched %.2f, patched %.2f (%+.2f), after unload %.2f (%+.2f), "
	       "watched %.0f\n",
	       unpatched, patched, patched - unpatched, after, after - unpatched, watched);
	return json_pack("{s:f,s:f,s:f,s:f}", "unpatched", unpatched, "patched", patched,
			 "after_unload", after, "watched", watched);
}

static json_t *measure_rate(uint64_t rate, const char *quiesce)
{
	struct samples took = {0}, gap = {0}, share = {0}, gate = {0};
	struct trip t = {0};
	char label[32] = "all it can";

	if (rate)
		snprintf(label, sizeof(label), "%lu", (unsigned long)rate);
	start_target(1);
	shared->rate = rate ? rate : 1;
	for (int i = 0; i < loads; i++) {
		trip(&t, rate ? SPIN_RATE : SPIN_CALL, patch_path(1), quiesce);
		add(&took, t.load_ns);
		add(&gap, t.load_gap_ns);
		add(&gate, t.gate_ns);
		add(&share, t.idle_calls ? t.load_calls * 100 / t.idle_calls : 0);
	}
	stop_target();
	printf("%10s %6s", label, quiesce);
	print_pair(&took, 1e6, 7, 1);
	print_pair(&gap, 1e3, 8, 0);
	printf(" | %6.0f | %4lu%%\n", (double)percentile(&gate, 50) / 1e3,
	       (unsigned long)percentile(&share, 50));
	fflush(stdout);
	return json_pack("{s:I,s:s,s:o,s:o,s:o,s:I}", "calls_a_second", (json_int_t)rate, "quiesce",
			 quiesce, "load_us", summary(&took), "gap_caller_us", summary(&gap),
			 "gate_us", summary(&gate), "calls_kept_percent",
			 (json_int_t)percentile(&share, 50));
}

static json_t *all_loads(bool quick)
{
	static const int threads[] = {1, 8, 64, 1024}, functions[] = {1, 10, 100};
	static const char *wide = "     p50     max ", *narrow = "    p50    max ";
	json_t *rows = json_array();

	printf("                  |    load (ms)    |   unload (ms)   |%s| memory (kB)\n"
	       "                  |                 |                 |%s|\n"
	       "threads functions |%s|%s|%s|%s|%s| added  left\n",
	       "         longest gap of a thread (us)          ",
	       "  uninvolved   |    caller     |    no load    ", wide, wide, narrow, narrow,
	       narrow);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++)
		for (size_t k = 0; k < sizeof(functions) / sizeof(functions[0]); k++)
			if (!quick || (threads[i] <= 64 && functions[k] == 1))
				json_array_append_new(rows,
						      measure_loads(threads[i], functions[k]));
	return rows;
}

static json_t *all_rates(bool quick)
{
	static const uint64_t rates[] = {100, 1000, 5000, 20000, 100000, 500000, 0};
	json_t *rows = json_array();

	printf("\nWatch or gate at once: one thread calls the function so often (1 thread, "
	       "1 function)\n"
	       "                  |    load (ms)    | longest gap (us)  |  gate  | calls\n"
	       " calls a s    way |     p50     max |      p50      max | us p50 | kept\n");
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (quick && i % 3)
			continue;
		json_array_append_new(rows, measure_rate(rates[i], "watch"));
		json_array_append_new(rows, measure_rate(rates[i], "gate"));
	}
	return rows;
}

static void open_shared(void)
{
	int fd;

	snprintf(shared_path, sizeof(shared_path), "/dev/shm/hp-bench.%d", (int)getpid());
	fd = open(shared_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		die(shared_path);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		die(shared_path);
}

static void remove_shared(void)
{
	unlink(shared_path);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
						{"target", required_argument, NULL, 't'},
						{"patches", required_argument, NULL, 'p'},
						{"json", required_argument, NULL, 'j'},
						{"loads", required_argument, NULL, 'n'},
						{"quick", no_argument, NULL, 'q'},
						{NULL, 0, NULL, 0}};
	const char *json_path = NULL;
	json_t *result, *rows;
	bool quick = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			socket_path = optarg;
			break;
		case 't':
			target_program = optarg;
			break;
		case 'p':
			patches = optarg;
			break;
		case 'j':
			json_path = optarg;
			break;
		case 'n':
			loads = atoi(optarg);
			break;
		case 'q':
			quick = true;
			break;
		default:
			return 2;
		}
	}
	if (!socket_path || !target_program || !patches || !json_path || loads < 1 ||
	    loads * 4 > SAMPLES_MAX) {
		fprintf(stderr,
			"usage: bench --socket S --target PROGRAM --patches DIR --json FILE "
			"[--loads N] [--quick]\n");
		return 2;
	}
	open_shared();
	atexit(remove_shared);
	hpd = call_connect(socket_path);
	rows = all_loads(quick);
	result = json_pack("{s:i,s:i,s:o}", "schema", 1, "loads_each", loads, "loads", rows);
	json_object_set_new(result, "ns_a_call", measure_calls());
	json_object_set_new(result, "rates", all_rates(quick));
	if (json_dump_file(result, json_path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
		die(json_path);
	json_decref(result);
	return 0;
}
