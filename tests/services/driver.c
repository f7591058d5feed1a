/* SPDX-License-Identifier: MIT */
/*
 * driver --socket S --hpd PID --patch P [--rounds N] [--quiesce WAY] -- SERVICE ARGS…
 *
 * Starts a service that knows "expect old|new|any" (stress), and loads and unloads the patch as
 * fast as hpd answers.  After each answer the service is told what it may see from now on.  Ends
 * with one line of JSON; exit status 1 when the service or the growth of anything is not right.
 *
 * driver --socket S --raw: stdin goes to hpd, its answer to stdout.
 */
#include "call.h"
#include "served.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP    20 /* rounds before memory is first measured */
#define MAPS_SLACK 4
#define HPD_SLACK  16   /* hpd prepares the slots of a next target when it has time */
#define OWN_SLACK  1024 /* kB: stacks and heaps that find their size */
#define PARK_MS    1000 /* with many threads on few CPUs one may wait so long for its turn */

struct size {
	long maps, fds, own_kb;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long count_lines(pid_t pid)
{
	char path[64], line[4352];
	long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		served_die(path);
	while (fgets(line, sizeof(line), f))
		n += !strstr(line, "[uprobes");
	fclose(f);
	return n;
}

static long count_fds(pid_t pid)
{
	char path[64];
	long n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		served_die(path);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Pages of its own, also those that a child shares that lives just now. */
static long own_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		served_die(path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Anonymous: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static struct size size_of(pid_t pid)
{
	return (struct size){count_lines(pid), count_fds(pid), own_kb(pid)};
}

static bool grew(const char *who, struct size a, struct size b, long slack)
{
	if (b.maps <= a.maps + MAPS_SLACK + slack && b.fds <= a.fds + slack &&
	    b.own_kb <= a.own_kb + OWN_SLACK)
		return false;
	fprintf(stderr,
		"driver: %s grew: maps %ld to %ld, descriptors %ld to %ld, memory %ld to %ld kB\n",
		who, a.maps, b.maps, a.fds, b.fds, a.own_kb, b.own_kb);
	return true;
}

/* hpd's helpers of the last unload may still be on their way out. */
static bool stays_grown(const char *who, pid_t pid, struct size before, struct size *after,
			long slack)
{
	for (int i = 0; i < 100; i++) {
		struct timespec t = {.tv_nsec = 50000000};

		*after = size_of(pid);
		if (after->fds <= before.fds + slack &&
		    after->maps <= before.maps + MAPS_SLACK + slack)
			break;
		nanosleep(&t, NULL);
	}
	return grew(who, before, *after, slack);
}

struct times {
	uint64_t load_ns, unload_ns, longest_load_ns, longest_unload_ns;
	int retained; /* a dead word in a live frame points into the patch: it goes later */
};

static void note(uint64_t took, uint64_t *sum, uint64_t *longest)
{
	*sum += took;
	if (took > *longest)
		*longest = took;
}

static bool round_trip(int fd, const char *patch, const char *quiesce, struct times *t)
{
	char line[SERVED_LINE], id[128];
	const json_t *answer;
	uint64_t begin = now_ns();
	int unloaded;
	const char *loaded = call_load(fd, served, patch, quiesce, &answer);

	if (!loaded)
		return false;
	note(now_ns() - begin, &t->load_ns, &t->longest_load_ns);
	snprintf(id, sizeof(id), "%s", loaded);
	served_tell("expect new", "expecting new", line);
	served_tell("verdict", "{", line); /* lets it call for a while */
	served_tell("expect any", "expecting any", line);
	begin = now_ns();
	unloaded = call_unload(fd, served, id, quiesce, &answer);
	if (unloaded < 0)
		return false;
	t->retained += unloaded;
	note(now_ns() - begin, &t->unload_ns, &t->longest_unload_ns);
	served_tell("expect old", "expecting old", line);
	served_tell("verdict", "{", line);
	served_tell("expect any", "expecting any", line);
	return strstr(line, "\"ok\":false") == NULL;
}

static int run(int fd, pid_t hpd, const char *patch, const char *quiesce, long rounds)
{
	struct size target = {0}, target_end, daemon = {0}, daemon_end;
	struct times t = {0};
	char line[SERVED_LINE];
	bool failed = false, measured = false;
	int status = -1;
	long i;

	served_await("ready", line);
	for (i = 0; i < rounds && !failed; i++) {
		if (i == WARM_UP || (i == rounds / 2 && rounds < 2 * WARM_UP)) {
			target = size_of(served);
			daemon = size_of(hpd);
			measured = true;
		}
		failed = !round_trip(fd, patch, quiesce, &t);
	}
	if (failed)
		fprintf(stderr, "driver: round %ld failed\n", i);
	target_end = target;
	if (measured) {
		failed |= stays_grown("the target", served, target, &target_end, 0);
		failed |= stays_grown("hpd", hpd, daemon, &daemon_end, HPD_SLACK);
	}
	served_say("quit");
	served_await("{\"service\"", line);
	line[strcspn(line, "\n")] = 0;
	waitpid(served, &status, 0);
	failed |= status != 0;
	printf("{\"rounds\":%ld,\"quiesce\":\"%s\",\"load_us\":%lu,\"longest_load_us\":%lu,"
	       "\"unload_us\":%lu,\"longest_unload_us\":%lu,\"retained\":%d,\"maps\":[%ld,%ld],"
	       "\"own_kb\":[%ld,%"
	       "ld],"
	       "\"verdict\":%s}\n",
	       i, quiesce, (unsigned long)(t.load_ns / 1000 / (uint64_t)(i ? i : 1)),
	       (unsigned long)(t.longest_load_ns / 1000),
	       (unsigned long)(t.unload_ns / 1000 / (uint64_t)(i ? i : 1)),
	       (unsigned long)(t.longest_unload_ns / 1000), t.retained, target.maps,
	       target_end.maps, target.own_kb, target_end.own_kb, line);
	return failed;
}

/* What a client that is no client of ours would do. */
static int talk_raw(int fd)
{
	struct timeval patience = {.tv_sec = 3};
	char buf[65536];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (write(STDOUT_FILENO, buf, (size_t)n) != n)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
						{"hpd", required_argument, NULL, 'h'},
						{"rounds", required_argument, NULL, 'n'},
						{"quiesce", required_argument, NULL, 'q'},
						{"patch", required_argument, NULL, 'p'},
						{"raw", no_argument, NULL, 'r'},
						{NULL, 0, NULL, 0}};
	const char *socket_path = NULL, *quiesce = "auto", *patch = NULL;
	long rounds = 100;
	pid_t hpd = 0;
	bool raw = false;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 's':
			socket_path = optarg;
			break;
		case 'h':
			hpd = (pid_t)atoi(optarg);
			break;
		case 'n':
			rounds = atol(optarg);
			break;
		case 'q':
			quiesce = optarg;
			break;
		case 'p':
			patch = optarg;
			break;
		case 'r':
			raw = true;
			break;
		default:
			return 2;
		}
	}
	if (socket_path && raw)
		return talk_raw(call_connect(socket_path));
	if (!socket_path || !hpd || !patch || optind >= argc) {
		fprintf(stderr,
			"usage: driver --socket S --hpd PID --patch P -- SERVICE ARGS...\n");
		return 2;
	}
	call_park_ms = PARK_MS;
	served_start(argv + optind);
	return run(call_connect(socket_path), hpd, patch, quiesce, rounds);
}
