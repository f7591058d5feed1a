/* SPDX-License-Identifier: MIT */
#include "../services/call.h"
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS     60000000000u
#define LOAD_TIMEOUT_MS 2000
#define TRIES           10
#define CLAIM_TRIES     100
#define CLAIM_NAP_NS    300000000u

static int hpd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = call_connect(opt.socket_path);
	return fd;
}

/* --- the target --------------------------------------------------------------------- */

void service_start(struct service *s, int threads, int callers)
{
	uint64_t end = now_ns() + PATIENCE_NS;
	char path[32], n[16], k[16];
	int fd = memfd_create("bench", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*s->shared)))
		die("memfd");
	*s = (struct service){.callers = callers};
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->shared == MAP_FAILED)
		die("mmap");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(n, sizeof(n), "%d", threads);
	snprintf(k, sizeof(k), "%d", callers);
	s->pid = fork();
	if (!s->pid) {
		execl(opt.target, opt.target, path, n, k, (char *)NULL);
		_exit(127);
	}
	close(fd);
	while (__atomic_load_n(&s->shared->ready, __ATOMIC_ACQUIRE) < threads) {
		if (s->pid < 0 || now_ns() > end)
			die("the target does not start");
		nap_ns(1000000);
	}
}

void service_stop(struct service *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	munmap(s->shared, sizeof(*s->shared));
}

static void await_window(const struct service *s, const struct bench_caller *c)
{
	uint64_t end = now_ns() + PATIENCE_NS;

	while (__atomic_load_n(&c->window_seen, __ATOMIC_ACQUIRE) != s->shared->window) {
		if (now_ns() > end)
			die("the target does not answer");
		nap_ns(100000);
	}
}

void service_do(struct service *s, enum bench_do what)
{
	__atomic_store_n(&s->shared->what, (int)what, __ATOMIC_RELEASE);
	__atomic_add_fetch(&s->shared->window, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < s->callers; i++)
		await_window(s, &s->shared->caller[i]);
}

uint64_t service_longest(const struct service *s)
{
	uint64_t longest = 0;

	for (int i = 0; i < s->callers; i++) {
		uint64_t v = __atomic_load_n(&s->shared->caller[i].longest_ns, __ATOMIC_ACQUIRE);

		longest = v > longest ? v : longest;
	}
	return longest;
}

uint64_t service_calls(const struct service *s)
{
	uint64_t calls = 0;

	for (int i = 0; i < s->callers; i++)
		calls += __atomic_load_n(&s->shared->caller[i].calls, __ATOMIC_RELAXED);
	return calls;
}

static FILE *open_proc(const struct service *s, const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)s->pid, name);
	f = fopen(path, "re");
	if (!f)
		die(path);
	return f;
}

struct memory service_memory(const struct service *s)
{
	struct memory m = {0};
	unsigned long lo, hi;
	char line[4352];
	FILE *f = open_proc(s, "maps");

	/* What the kernel's uprobes leave behind is not hp's to give back. */
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &lo, &hi) != 2 || strstr(line, "[uprobes"))
			continue;
		m.maps++;
		m.mapped_kb += (long)((hi - lo) / 1024);
	}
	fclose(f);
	f = open_proc(s, "smaps_rollup");
	while (fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "Rss: %ld", &m.rss_kb); /* one of them, or neither */
		(void)sscanf(line, "Private_Dirty: %ld", &m.dirty_kb);
	}
	fclose(f);
	return m;
}

/* --- load and unload ---------------------------------------------------------------- */

const char *patch_path(int functions)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/patch_%d.so", opt.patches, functions);
	return path;
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static const char *error_of(const json_t *answer)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(answer, "error"), "text"));

	return text ? text : "";
}

/* An hpd that starts meanwhile (another test's) keeps what it found patched, for as long as it runs. */
static bool claimed(const json_t *answer)
{
	return strstr(error_of(answer), "another hpd");
}

static json_t *request_load(const struct service *s, const char *patch, const char *quiesce,
			    int *status)
{
	return call_hpd(hpd(), "/hp/v2/load",
			json_pack("{s:i,s:s,s:s,s:i}", "pid", (int)s->pid, "file", patch, "quiesce",
				  quiesce, "timeout_ms", LOAD_TIMEOUT_MS),
			status);
}

static void take_figures(struct loaded *ret, const json_t *answer)
{
	const char *id = json_string_value(json_object_get(answer, "hp_id"));
	const char *way = json_string_value(json_object_get(answer, "quiesce"));

	snprintf(ret->id, sizeof(ret->id), "%s", id ? id : "");
	ret->total_ns = number(answer, "total_ns");
	ret->gate_ns = number(answer, "gate_ns");
	ret->park_ns = number(answer, "longest_park_ns");
	ret->borrowed_ns = number(answer, "borrowed_ns");
	ret->tries = number(answer, "tries");
	ret->watched = way && !strcmp(way, "watch");
}

bool load(const struct service *s, struct loaded *ret, const char *patch, const char *quiesce)
{
	json_t *answer = NULL;
	uint64_t begin;
	int status = 0;

	for (int i = 0; i < CLAIM_TRIES && (!i || claimed(answer)); i++) {
		json_decref(answer);
		if (i)
			nap_ns(CLAIM_NAP_NS);
		begin = now_ns();
		answer = request_load(s, patch, quiesce, &status);
		*ret = (struct loaded){.took_ns = now_ns() - begin};
	}
	if (status == 200)
		take_figures(ret, answer);
	else
		snprintf(ret->refused, sizeof(ret->refused), "%s", error_of(answer));
	json_decref(answer);
	return status == 200;
}

void load_surely(struct service *s, struct loaded *ret, const char *patch)
{
	for (int i = 0; i < TRIES; i++) {
		if (load(s, ret, patch, "auto"))
			return;
		s->refused++;
	}
	fprintf(stderr, "bench: %d loads were refused: %s\n", TRIES, ret->refused);
	exit(2);
}

uint64_t unload(struct service *s, const struct loaded *l, const char *quiesce)
{
	const json_t *answer;

	for (int i = 0; i < TRIES; i++) {
		uint64_t begin = now_ns();

		if (call_unload(hpd(), s->pid, l->id, quiesce, &answer) == 0)
			return now_ns() - begin;
		s->refused++;
	}
	fprintf(stderr, "bench: %d unloads were refused\n", TRIES);
	exit(2);
}
