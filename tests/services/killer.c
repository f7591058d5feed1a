/* SPDX-License-Identifier: MIT */
/*
 * killer --hpd HPD --dir DIR --patch P --kills N [--quiesce WAY] [--seed S] [--jobs]
 *	-- SERVICE ARGS…
 *
 * Loads and unloads the patch in a loop, and kills hpd (with --jobs, one time of four, a job of its
 * first) at a random moment; a new hpd puts right what the last one left, and is killed in its turn.
 * The service ("verify") is asked after each kill and judges itself.  At the end the patch is taken
 * out, and nothing of it may be left.  Ends with one line of JSON; exit status 1 when anything was
 * not right.
 */
#include "call.h"
#include "served.h"
#include "tied.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS    60000
#define WINDOW_US   60000 /* a load and an unload on a quiet machine */
#define VERDICTS    50	  /* a verdict after so many kills */
#define PARK_MS	    1000
#define SETTLE_TRIES 600 /* of 50 ms */

static const char *hpd_path, *dir, *patch, *quiesce = "auto";
static char socket_path[256], state_dir[256], log_path[256];
static uint64_t seed = 1;
static bool jobs_too;
static unsigned long kills, jobs_killed, patched_then, starts_killed;

static uint64_t chance(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

static void pause_us(uint64_t us)
{
	struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

	nanosleep(&t, NULL);
}

/* *ready can be read when it takes requests. */
static pid_t start_hpd(int *ready)
{
	char below[16];
	int ends[2];
	pid_t p;

	snprintf(below, sizeof(below), "%d", (int)getpid());
	if (pipe2(ends, O_CLOEXEC))
		served_die("pipe");
	p = tied_fork();
	if (!p) {
		int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (dup2(ends[1], 9) < 0 || dup2(log, 2) < 0)
			_exit(126);
		execl(hpd_path, "hpd", "--socket", socket_path, "--state-dir", state_dir, "--below",
		      below, "--ready-fd", "9", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	*ready = ends[0];
	return p;
}

static void await_ready(int ready)
{
	struct pollfd p = {.fd = ready, .events = POLLIN};
	char c;

	if (poll(&p, 1, READY_MS) != 1 || read(ready, &c, 1) != 1) {
		fprintf(stderr, "killer: hpd does not get ready\n");
		exit(1);
	}
	close(ready);
}

/* Until its hpd dies under it. */
static pid_t start_client(void)
{
	pid_t p = tied_fork();

	if (!p) {
		int fd, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		const json_t *answer;
		char id[128] = "";

		dup2(null, 2);
		fd = call_connect(socket_path);
		for (;;) {
			const char *loaded = call_load(fd, served, patch, quiesce, &answer);
			json_t *list;
			int status;

			if (loaded) {
				snprintf(id, sizeof(id), "%s", loaded);
			} else { /* the last hpd was killed with the patch in place */
				list = call_hpd(fd, "/hp/v2/list", json_pack("{s:i}", "pid", (int)served),
						&status);
				snprintf(id, sizeof(id), "%s",
					 json_string_value(json_object_get(
						 json_array_get(json_object_get(list, "patches"), 0),
						 "hp_id")) ?: "");
				json_decref(list);
			}
			(void)call_unload(fd, served, id, quiesce, &answer); /* or it is gone */
		}
	}
	return p;
}

/* A child of @hpd; 0: it has none now. */
static pid_t job_of(pid_t hpd)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (d && !found && (e = readdir(d))) {
		char path[64], line[512] = "", *name_end;
		int parent;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%.16s/stat", e->d_name);
		f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) && (name_end = strrchr(line, ')')) &&
		    sscanf(name_end, ") %*c %d", &parent) == 1 && parent == hpd)
			found = atoi(e->d_name);
		fclose(f);
	}
	if (d)
		closedir(d);
	return found;
}

static bool is_patched(void)
{
	char path[64], line[4352];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)served);
	f = fopen(path, "re");
	while (f && !is && fgets(line, sizeof(line), f))
		is = strstr(line, "/memfd:hp-");
	if (f)
		fclose(f);
	return is;
}

static void kill_one(void)
{
	int ready;
	pid_t hpd = start_hpd(&ready), client = 0, job;

	if (chance(8) == 0) {
		/* while it finds out what the last one left */
		pause_us(chance(2 * WINDOW_US));
		starts_killed++;
		close(ready);
	} else {
		await_ready(ready);
		client = start_client();
		pause_us(chance(WINDOW_US));
		if (jobs_too && chance(4) == 0 && (job = job_of(hpd))) {
			kill(job, SIGKILL);
			jobs_killed++;
			pause_us(chance(WINDOW_US));
		}
	}
	kill(hpd, SIGKILL);
	waitpid(hpd, NULL, 0);
	if (client) {
		kill(client, SIGKILL);
		waitpid(client, NULL, 0);
	}
	kills++;
	patched_then += is_patched();
}

static bool says(const char *wanted)
{
	char line[SERVED_LINE];

	served_tell("ask", "", line);
	line[strcspn(line, "\n")] = 0;
	return !strcmp(line, wanted) || (!*wanted && (!strcmp(line, "old") || !strcmp(line, "new")));
}

static bool verdict_is_good(void)
{
	char line[SERVED_LINE];

	served_tell("verdict", "{", line);
	if (strstr(line, "\"ok\":true"))
		return true;
	fprintf(stderr, "killer: after %lu kills: %s", kills, line);
	return false;
}

/* The last hpd takes the patch out. */
static bool put_right(void)
{
	const json_t *answer, *patches;
	json_t *list = NULL;
	int ready, fd, status;
	pid_t hpd = start_hpd(&ready);
	bool empty = false;

	await_ready(ready);
	fd = call_connect(socket_path);
	for (int i = 0; i < SETTLE_TRIES && !empty; i++) {
		json_decref(list);
		list = call_hpd(fd, "/hp/v2/list", json_pack("{s:i}", "pid", (int)served), &status);
		patches = json_object_get(list, "patches");
		empty = json_is_array(patches) && !json_array_size(patches);
		if (!empty)
			(void)call_unload(fd, served,
					  json_string_value(json_object_get(
						  json_array_get(patches, 0), "hp_id")) ?: "?",
					  quiesce, &answer);
		pause_us(50000);
	}
	json_decref(list);
	kill(hpd, SIGTERM);
	waitpid(hpd, &status, 0);
	if (!empty)
		fprintf(stderr, "killer: the patch cannot be taken out\n");
	return empty && !is_patched();
}

static int run(unsigned long n, char **service)
{
	char line[SERVED_LINE];
	bool good = true;
	int status = -1;

	served_start(service);
	served_await("ready", line);
	while (good && kills < n) {
		kill_one();
		good = says("");
		if (good && kills % VERDICTS == 0)
			good = verdict_is_good();
	}
	if (!good)
		fprintf(stderr, "killer: kill %lu was one too many\n", kills);
	good &= put_right() && says("old");
	served_say("quit");
	served_await("{\"service\"", line);
	line[strcspn(line, "\n")] = 0;
	waitpid(served, &status, 0);
	good &= status == 0;
	printf("{\"kills\":%lu,\"of_jobs\":%lu,\"at_start\":%lu,\"patched\":%lu,\"quiesce\":\"%s\","
	       "\"verdict\":%s}\n",
	       kills, jobs_killed, starts_killed, patched_then, quiesce, line);
	return !good;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"hpd", required_argument, NULL, 'h'},
						{"dir", required_argument, NULL, 'd'},
						{"patch", required_argument, NULL, 'p'},
						{"kills", required_argument, NULL, 'n'},
						{"quiesce", required_argument, NULL, 'q'},
						{"seed", required_argument, NULL, 's'},
						{"jobs", no_argument, NULL, 'j'},
						{NULL, 0, NULL, 0}};
	unsigned long n = 50;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			hpd_path = optarg;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'p':
			patch = optarg;
			break;
		case 'n':
			n = strtoul(optarg, NULL, 10);
			break;
		case 'q':
			quiesce = optarg;
			break;
		case 'j':
			jobs_too = true;
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (!hpd_path || !dir || !patch || optind >= argc) {
		fprintf(stderr, "usage: killer --hpd HPD --dir DIR --patch P -- SERVICE ARGS...\n");
		return 2;
	}
	snprintf(socket_path, sizeof(socket_path), "%s/killed.sock", dir);
	snprintf(state_dir, sizeof(state_dir), "%s/killed", dir);
	snprintf(log_path, sizeof(log_path), "%s/killed.log", dir);
	call_park_ms = PARK_MS;
	return run(n, argv + optind);
}
